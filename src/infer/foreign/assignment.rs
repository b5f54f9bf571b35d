//! Where the nodes of a session really run, as ONNX Runtime reports it. The report has no safe binding yet. The calls
//! read memory that the session owns, while the session is borrowed.

use std::ffi::{CStr, c_char};
use std::ptr;

use ort::AsPointer;
use ort::session::Session;

/// Key of the session option that makes the report possible; set it to `1`.
pub const RECORD: &str = "session.record_ep_graph_assignment_info";

/// Nodes by the name of the provider that runs them, most first.
///
/// # Errors
/// A text when the session was made without [`RECORD`].
pub fn nodes_by_provider(session: &Session) -> Result<Vec<(String, usize)>, String> {
    let api = ort::api();
    let mut counts: Vec<(String, usize)> = Vec::new();
    let mut parts = ptr::null();
    let mut count = 0;
    // SAFETY: the session is alive; the array and what it points to belong to the session and
    // are only read before this function, which borrows it, returns.
    let parts = unsafe {
        check((api.Session_GetEpGraphAssignmentInfo)(session.ptr(), &mut parts, &mut count))?;
        slice(parts, count)
    };
    for &part in parts {
        let mut name: *const c_char = ptr::null();
        let mut nodes = ptr::null();
        let mut count = 0;
        // SAFETY: as above; the name is a C string that ends with a zero.
        let name = unsafe {
            check((api.EpAssignedSubgraph_GetEpName)(part, &mut name))?;
            check((api.EpAssignedSubgraph_GetNodes)(part, &mut nodes, &mut count))?;
            CStr::from_ptr(name).to_string_lossy().into_owned()
        };
        match counts.iter_mut().find(|(known, _)| *known == name) {
            Some((_, total)) => *total += count,
            None => counts.push((name, count)),
        }
    }
    counts.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    Ok(counts)
}

/// # Safety
/// `data` points to `length` elements that outlive `'a`, or is null with none.
unsafe fn slice<'a, T>(data: *const T, length: usize) -> &'a [T] {
    if data.is_null() || length == 0 {
        return &[];
    }
    // SAFETY: promised by the caller.
    unsafe { std::slice::from_raw_parts(data, length) }
}

/// # Safety
/// `status` comes from a call of the runtime just now.
unsafe fn check(status: ort::sys::OrtStatusPtr) -> Result<(), String> {
    // SAFETY: promised by the caller.
    unsafe { ort::Error::result_from_status(status) }.map_err(|err| crate::infer::session::one_line(&err))
}
