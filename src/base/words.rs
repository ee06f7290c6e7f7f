//! How much is kept of texts that others write: the broker's words may have
//! any length, and what is told of them may not.

use std::borrow::Cow;

/// The longest sentence for a caller, in characters.
pub(crate) const LONGEST_MESSAGE: usize = 1000;
/// The longest body in an error, in bytes.
pub(crate) const LONGEST_BODY: usize = 64 * 1024;

/// The beginning of a sentence, and that there was more. To be called when
/// secrets are masked: half of one is not found any more.
pub(crate) fn message(text: &str) -> Cow<'_, str> {
    let end = text.char_indices().nth(LONGEST_MESSAGE);
    cut(text, end.map_or(text.len(), |(at, _)| at))
}

/// The same for a body that the broker sent.
pub(crate) fn body(text: &str) -> Cow<'_, str> {
    let mut end = LONGEST_BODY.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    cut(text, end)
}

fn cut(text: &str, end: usize) -> Cow<'_, str> {
    match text.len() {
        all if all > end => format!("{} ... (cut; {all} bytes in all)", &text[..end]).into(),
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_and_say_so() {
        let fits = "é".repeat(LONGEST_MESSAGE);
        assert!(matches!(message(&fits), Cow::Borrowed(same) if same == fits));
        let long = format!("{fits}é");
        let told = format!("{fits} ... (cut; 2002 bytes in all)");
        assert_eq!(message(&long), told);
        let fits = "x".repeat(LONGEST_BODY);
        assert!(matches!(body(&fits), Cow::Borrowed(same) if same == fits));
        let long = format!("{}é", "x".repeat(LONGEST_BODY - 1));
        let cut = body(&long);
        assert!(cut.starts_with(&format!("{} ... (cut; 65537", "x".repeat(LONGEST_BODY - 1))));
        assert_eq!((message(""), body("")), ("".into(), "".into()));
    }
}
