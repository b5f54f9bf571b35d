//! The element on a bench: what it negotiates, makes of every frame, says and keeps.

#[path = "../common/mod.rs"]
mod common;

mod caps;
mod faces;
mod flight;
mod formats;
mod metas;
mod models;
mod properties;
mod random;
mod reuse;
mod stream;
mod temporal;

/// Far longer than anything quick takes, and far shorter than the slow frame.
const QUICK: std::time::Duration = std::time::Duration::from_secs(4);
