//! Calls of other libraries that have no safe binding: the one place of this crate with unsafe code. What is handed out
//! of it is safe for any caller.

#![allow(unsafe_code)]

pub(super) mod assignment;
pub(super) mod kernels;
