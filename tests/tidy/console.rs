//! The files of the console: all of them are embedded, and text on the page can only ever be text.

use std::collections::BTreeSet;

use super::source::{console_files, words};

/// What makes markup, or a program, of text, or needs a policy that allows it.
const MARKUP: [&str; 12] = [
    "innerHTML",
    "outerHTML",
    "insertAdjacentHTML",
    "setHTMLUnsafe",
    "parseHTMLUnsafe",
    "createContextualFragment",
    "DOMParser",
    "document.write",
    "srcdoc",
    "eval(",
    "new Function",
    "javascript:",
];

/// What is between the brackets of `embedded![...]`.
fn embedded(source: &str) -> BTreeSet<&str> {
    let list = source.split_once("&embedded![").and_then(|(_, rest)| rest.split_once(']')).map_or("", |(list, _)| list);
    list.split('"').skip(1).step_by(2).collect()
}

/// What one side has and the other does not.
fn not_embedded(source: &str, there: &BTreeSet<&str>) -> Vec<String> {
    let listed = embedded(source);
    let missing = there
        .difference(&listed)
        .map(|file| format!("src/admin/console.rs: found no {file:?} in FILES, want it: console/{file} is there"));
    let gone = listed
        .difference(there)
        .map(|file| format!("src/admin/console.rs: found {file:?} in FILES, want no file that is not in console/"));
    missing.chain(gone).collect()
}

/// Where a file of the page makes markup of text, or has styles or scripts in its markup.
fn markup(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let bad = MARKUP.iter().copied().filter(|word| words(text, word).next().is_some());
        let inline = [" style=\"", " onclick=\"", "<script>", "<style>"].into_iter().filter(|part| text.contains(part));
        let foreign = ["http://", "https://"].into_iter().filter(|scheme| {
            let known = ["http://www.w3.org/", "http://127.0.0.1"];
            let host = |at: usize| text[at + scheme.len()..].starts_with(|c: char| c.is_ascii_alphanumeric());
            text.match_indices(scheme)
                .any(|(at, _)| host(at) && !known.iter().any(|known| text[at..].starts_with(known)))
        });
        found.extend(bad.chain(inline).chain(foreign).map(|what| {
            format!("{path}:{line}: found {what:?}, want elements by `h` and text as text, and nothing from elsewhere")
        }));
    }
    found
}

#[test]
fn the_console_is_whole_and_its_text_is_text() {
    let list = "const FILES: &[(&str, &[u8])] = &embedded![\n    \"a.js\",\n    \"rooms/b.js\",\n];";
    assert_eq!(not_embedded(list, &BTreeSet::from(["a.js", "rooms/b.js"])), [""; 0]);
    assert_eq!(not_embedded(list, &BTreeSet::from(["a.js", "c.js"])).len(), 2);
    assert_eq!(markup("a.js", "x.textContent = y;\nx.innerHTML = y;\neval(x)\nfetch('https://cdn.example/')").len(), 3);
    assert_eq!(markup("a.html", "<p style=\"color: red\" onclick=\"x()\"></p>").len(), 2);
    let files = console_files();
    let there: BTreeSet<_> = files.iter().filter_map(|(path, _)| path.strip_prefix("console/")).collect();
    assert!(there.contains("index.html"), "{there:?}");
    let mut found = not_embedded(include_str!("../../src/admin/console.rs"), &there);
    found.extend(files.iter().flat_map(|(path, text)| markup(path, text)));
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}
