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
