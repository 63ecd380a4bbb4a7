//! Texts with variables in braces, such as `{version}`. A brace that is not around a word stands for itself, so that
//! values in JSON can be written as they are.

use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::problem::{Mismatch, one_of, suggest};
use crate::table::spec::template::{Template, TemplatePart, Variable};

/// The text, which may have these variables.
pub(crate) fn build(
    text: &str,
    known: &[Variable],
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<Template, ErrorGuaranteed> {
    let words = || known.iter().map(|variable| variable.word());
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(BracedWord { before, word, after }) = next_word(rest) {
        let Some(variable) = known.iter().find(|variable| variable.word() == word) else {
            let remedy = match suggest(word, words()) {
                Some(meant) => format!("did you mean {{{meant}}}?"),
                None => "use one of them".to_owned(),
            };
            let wanted = format!("{} in braces", one_of(words()));
            return Err(report.problem(at, Mismatch::new(format!("{{{word}}}"), wanted, remedy)));
        };
        literal.push_str(before);
        if !literal.is_empty() {
            parts.push(TemplatePart::Text(std::mem::take(&mut literal).into()));
        }
        parts.push(TemplatePart::Variable(*variable));
        rest = after;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(TemplatePart::Text(literal.into()));
    }
    Template::new(parts).ok_or_else(|| {
        let wanted = "visible ASCII, which a line of a head can hold";
        report.problem(at, Mismatch::new(format!("{text:?}"), wanted, "leave other characters out"))
    })
}

/// A word in braces, and what stands around it.
struct BracedWord<'t> {
    before: &'t str,
    word: &'t str,
    after: &'t str,
}

/// The first word in braces.
fn next_word(text: &str) -> Option<BracedWord<'_>> {
    text.match_indices('{').find_map(|(open, _)| {
        let (word, after) = text[open + 1..].split_once('}')?;
        let is_word = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        is_word.then_some(BracedWord { before: &text[..open], word, after })
    })
}
