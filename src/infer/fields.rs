//! The fields of a message of protocol buffers, read and written one by one: what is not changed is copied as it is.

use prost::encoding::encode_varint;

/// The graph in a model.
pub(super) const MODEL_GRAPH: u64 = 7;
/// The sets of operators that a model uses.
pub(super) const MODEL_OPSET_IMPORT: u64 = 8;
/// Nodes, constants, inputs and outputs in a graph.
pub(super) const GRAPH_NODE: u64 = 1;
pub(super) const GRAPH_INITIALIZER: u64 = 5;
pub(super) const GRAPH_INPUT: u64 = 11;
pub(super) const GRAPH_OUTPUT: u64 = 12;

/// Wire type of a field that says its length.
pub(super) const LENGTH_DELIMITED: u64 = 2;

/// One tagged field of a message.
pub(super) struct Field<'a> {
    pub(super) number: u64,
    /// Tag, length and content.
    pub(super) whole: &'a [u8],
    /// The content of a field that says its length.
    pub(super) content: Option<&'a [u8]>,
}

/// The fields of a message, in order.
pub(super) fn fields(mut rest: &[u8]) -> impl Iterator<Item = Result<Field<'_>, String>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let field = next_field(&mut rest);
        if field.is_none() {
            rest = &[];
        }
        Some(field.ok_or_else(|| "the file's fields are damaged".to_string()))
    })
}

fn next_field<'a>(rest: &mut &'a [u8]) -> Option<Field<'a>> {
    let start = *rest;
    let tag = prost::encoding::decode_varint(rest).ok()?;
    let length = match tag & 7 {
        0 => {
            prost::encoding::decode_varint(rest).ok()?;
            0
        }
        1 => 8,
        LENGTH_DELIMITED => usize::try_from(prost::encoding::decode_varint(rest).ok()?).ok()?,
        5 => 4,
        _ => return None,
    };
    let (content, after) = rest.split_at_checked(length)?;
    *rest = after;
    let content = (tag & 7 == LENGTH_DELIMITED).then_some(content);
    Some(Field { number: tag >> 3, whole: &start[..start.len() - after.len()], content })
}

/// Writes a field, changed or not.
pub(super) type Change<'a> = dyn FnMut(&Field<'_>, &mut Vec<u8>) -> Result<(), String> + 'a;

/// A message whose fields `change` writes, one by one.
pub(super) fn rewrite(message: &[u8], change: &mut Change<'_>) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(message.len());
    for field in fields(message) {
        change(&field?, &mut out)?;
    }
    Ok(out)
}

/// Writes a field as it is.
///
/// # Errors
/// None: the form of a [`Change`].
pub(super) fn copy(field: &Field<'_>, out: &mut Vec<u8>) -> Result<(), String> {
    out.extend_from_slice(field.whole);
    Ok(())
}

/// Writes a field that says its length.
pub(super) fn put(out: &mut Vec<u8>, number: u64, content: &[u8]) {
    encode_varint(number << 3 | LENGTH_DELIMITED, out);
    encode_varint(content.len() as u64, out);
    out.extend_from_slice(content);
}
