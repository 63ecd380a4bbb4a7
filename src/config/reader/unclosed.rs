//! A list or an inline table that is not closed. The parser finds it where the next key begins, lines later, and then
//! takes every key for an element; the line to mend is the one where it was opened.

/// Where the innermost list or table was opened that is still open at `error`, and by what, if what stands at the error
/// is not meant for it: a key of its own, a header, or the end.
pub(super) fn opened(text: &str, error: usize) -> Option<(usize, char)> {
    let before = text.get(..error)?;
    let (at, bracket) = innermost(before)?;
    let line = before.rfind('\n').map_or(0, |end| end + 1);
    // What is wrong on the line where it was opened is told as it is.
    let begins_anew = line > at && is_key_or_header(&text[line..]);
    (begins_anew || text[error..].trim().is_empty()).then_some((at, bracket))
}

/// The last bracket that is open at the end of `text`.
fn innermost(text: &str) -> Option<(usize, char)> {
    let mut open = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        match c {
            '#' => at += text[at..].find('\n').unwrap_or(text.len() - at),
            '"' | '\'' => at += quoted(&text[at..], c),
            '[' | '{' => {
                open.push((at, c));
                at += 1;
            }
            ']' | '}' => {
                let pair = if c == ']' { '[' } else { '{' };
                open.pop_if(|(_, opened)| *opened == pair);
                at += 1;
            }
            _ => at += c.len_utf8(),
        }
    }
    open.pop()
}

/// How long a text in these quotes is, with them; to the end of its line or of the whole if it is not closed.
fn quoted(text: &str, quote: char) -> usize {
    let triple = quote.to_string().repeat(3);
    if let Some(rest) = text.strip_prefix(&triple) {
        return rest.find(&triple).map_or(text.len(), |end| end + 2 * triple.len());
    }
    let mut escaped = false;
    for (index, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            '\n' => return index,
            _ if c == quote => return index + 1,
            _ => {}
        }
    }
    text.len()
}

/// Whether a line begins as `key = ` or `[header]` does.
fn is_key_or_header(text: &str) -> bool {
    let line = text.lines().next().unwrap_or_default().trim();
    if let Some(header) = line.strip_prefix('[') {
        return header.contains(']') && !header.starts_with(['"', '\'', '{']) && !header.contains(',');
    }
    let key = |c: char| c.is_ascii_alphanumeric() || "-_.\"' ".contains(c);
    line.split_once('=').is_some_and(|(before, _)| !before.trim().is_empty() && before.chars().all(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is opened at the first `!`, which stands for the error.
    fn opened_in(text: &str) -> Option<(usize, char)> {
        let error = text.find('!').expect("the error");
        opened(&text.replacen('!', "", 1), error)
    }

    #[test]
    fn a_list_that_runs_into_the_next_key_was_opened_before() {
        assert_eq!(opened_in("a = [\"x\"\n!b = 1\n"), Some((4, '[')));
        assert_eq!(opened_in("a = [\"x\", # [\n  '['\n![section]\n"), Some((4, '[')));
        assert_eq!(opened_in("a = [\"x\"\n!"), Some((4, '[')), "the end");
        assert_eq!(opened_in("a = { b = [1, 2], c = 3\n!d = 1"), Some((4, '{')));
        assert_eq!(opened_in("a = \"\"\"[\n\"\"\"\nb = [1\n!c.d = 2"), Some((17, '[')));
    }

    #[test]
    fn what_is_wrong_inside_a_list_is_no_list_that_is_open() {
        for text in [
            "a = [\n \"x\"\n !\"y\"\n]\n",
            "a = [1 !2]\n",
            "a = [1]\n!b 2\n",
            "a = \"[\"\n!b c\n",
            "[section!\nb = 1\n",
            "a = [\n [1, 2]\n ![3, 4]\n]\n",
        ] {
            assert_eq!(opened_in(text), None, "{text}");
        }
    }
}
