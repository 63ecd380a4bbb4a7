//! Tables: many inputs, one proxy, one verdict that lists every case that went wrong.

use super::{Client, End, Origin, Proxy, Seen, get, settle};

/// What must hold of the client's connection afterwards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum After {
    /// The proxy closes it in order.
    Closed,
    /// A further request on it is answered.
    Kept,
    /// Either.
    Any,
}

enum Want {
    /// One of the status codes, the reason word in the body if it is not empty, and nothing for the origin.
    Refused(&'static [u16], &'static str),
    /// A 200, one request for the origin, and all of these in it (see [`Case::sees`]).
    Forwarded { sees: Vec<String>, lacks: Vec<String> },
    /// Refused with 400 or forwarded lawfully.
    Either,
}

/// One input and what must come of it.
pub(crate) struct Case {
    rule: u8,
    name: String,
    bytes: Vec<u8>,
    want: Want,
    after: After,
}

impl Case {
    /// A request that must be refused.
    pub(crate) fn refused(rule: u8, bytes: impl AsRef<[u8]>, status: &'static [u16], word: &'static str) -> Self {
        Self::new(rule, bytes, Want::Refused(status, word))
    }

    /// A request that must be forwarded.
    pub(crate) fn forwarded(rule: u8, bytes: impl AsRef<[u8]>) -> Self {
        Self::new(rule, bytes, Want::Forwarded { sees: Vec::new(), lacks: Vec::new() })
    }

    /// A request that may be forwarded, as long as the origin sees nothing unlawful.
    pub(crate) fn either(rule: u8, bytes: impl AsRef<[u8]>) -> Self {
        Self::new(rule, bytes, Want::Either)
    }

    fn new(rule: u8, bytes: impl AsRef<[u8]>, want: Want) -> Self {
        let mut name = String::from_utf8_lossy(bytes.as_ref()).into_owned();
        if name.chars().count() > 300 {
            name = name.chars().take(300).chain("...".chars()).collect();
        }
        Self { rule, name, bytes: bytes.as_ref().to_vec(), want, after: After::Any }
    }

    /// What must hold of the connection afterwards.
    pub(crate) fn then(mut self, after: After) -> Self {
        self.after = after;
        self
    }

    /// The origin must see this: the first line of the request, a `name: value`, or `|` and the body.
    pub(crate) fn sees(mut self, what: &str) -> Self {
        if let Want::Forwarded { sees, .. } = &mut self.want {
            sees.push(what.to_owned());
        }
        self
    }

    /// The origin must not see this: a name, or a `name: value`.
    pub(crate) fn lacks(mut self, what: &str) -> Self {
        if let Want::Forwarded { lacks, .. } = &mut self.want {
            lacks.push(what.to_owned());
        }
        self
    }
}

/// Cases that share a proxy and an origin. They run one after the other, each on its own connection.
pub(crate) struct Table {
    origin: Origin,
    proxy: Proxy,
}

impl Table {
    /// A table in front of the common proxy.
    pub(crate) fn new() -> Self {
        let origin = Origin::saying("ok");
        let proxy = Proxy::to(&[&origin]);
        Self { origin, proxy }
    }

    /// Runs all cases, then fails with every one that went wrong.
    #[track_caller]
    pub(crate) fn run(&self, cases: impl IntoIterator<Item = Case>) {
        let mut count = 0;
        let mut wrong = Vec::new();
        for case in cases {
            count += 1;
            if let Err(why) = self.case(&case) {
                wrong.push(format!("rule {}: {:?}\n    {why}", case.rule, case.name));
            }
        }
        assert!(wrong.is_empty(), "{} of {count} cases are wrong:\n{}", wrong.len(), wrong.join("\n"));
    }

    fn case(&self, case: &Case) -> Result<(), String> {
        self.origin.forget();
        let mut client = self.proxy.client();
        let answer = client.write(&case.bytes).read(case.bytes.starts_with(b"HEAD "));
        let answer = answer.map_err(|(end, bytes)| format!("no answer: {end:?} after {}", text(&bytes)))?;
        let head = case.bytes.starts_with(b"HEAD ");
        let got = format!("{} {:?}", answer.status, answer.text());
        let after = check_after(case.after, &mut client);
        let (mut seen, crimes) = self.origin.forget();
        if !crimes.is_empty() {
            return Err(format!("the origin saw what no origin may see: {}", crimes.join("; ")));
        }
        seen.retain(|seen| seen.target() != "/follow-up");
        match &case.want {
            Want::Refused(status, word) => {
                if !status.contains(&answer.status) || !(head || answer.text().contains(word)) {
                    return Err(format!("want {status:?} {word}, got {got}"));
                }
                nothing_seen(&seen)?;
            }
            Want::Forwarded { sees, lacks } => {
                if answer.status != 200 {
                    return Err(format!("want it forwarded, got {got}"));
                }
                check_seen(&seen, sees, lacks)?;
            }
            Want::Either if answer.status == 200 => check_seen(&seen, &[], &[])?,
            Want::Either if answer.status == 400 => nothing_seen(&seen)?,
            Want::Either => return Err(format!("want 200 or 400, got {got}")),
        }
        after
    }
}

fn nothing_seen(seen: &[Seen]) -> Result<(), String> {
    match seen {
        [] => Ok(()),
        seen => Err(format!("refused, but the origin saw {seen:?}")),
    }
}

fn check_seen(seen: &[Seen], sees: &[String], lacks: &[String]) -> Result<(), String> {
    let [seen] = seen else { return Err(format!("want one request at the origin, it saw {}: {seen:?}", seen.len())) };
    if !seen.whole {
        return Err(format!("the origin did not get all of it: {seen:?}"));
    }
    if let Some(missing) = sees.iter().find(|what| !shows(seen, what)) {
        return Err(format!("the origin must see {missing:?}, saw {seen:?}"));
    }
    match lacks.iter().find(|what| seen.has(what) || shows(seen, what)) {
        Some(extra) => Err(format!("the origin must not see {extra:?}, saw {seen:?}")),
        None => Ok(()),
    }
}

/// Whether a request has `what`: see [`Case::sees`].
fn shows(seen: &Seen, what: &str) -> bool {
    if let Some(body) = what.strip_prefix('|') {
        return seen.text() == body;
    }
    let field = what.split_once(": ");
    seen.line() == what || field.is_some_and(|(name, value)| seen.head.all(name).contains(&value))
}

fn check_after(after: After, client: &mut Client) -> Result<(), String> {
    match after {
        After::Any => Ok(()),
        After::Closed => match client.end() {
            (End::Clean, rest) if rest.is_empty() => Ok(()),
            (end, rest) => Err(format!("want the connection closed, found {end:?} after {}", text(&rest))),
        },
        After::Kept => {
            // A close that is on its way must not be overtaken by the further request.
            settle();
            match client.write(get("/follow-up")).read(false) {
                Ok(answer) if answer.status < 500 => Ok(()),
                other => Err(format!("want the connection kept, but a further request got {other:?}")),
            }
        }
    }
}

fn text(bytes: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(bytes))
}
