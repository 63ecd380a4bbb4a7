//! Whether a hook comes from who has the secret, pure: in the forms of GitHub, Gitea and Forgejo, GitLab, and of
//! Standard Webhooks.
//!
//! What a hook says beside that is not read: it wakes a look at the repository, and nothing else comes of it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac::{Context, HMAC_SHA256, Key, sign, verify};

/// How old a signed time may be, or how far ahead, in seconds, as Standard Webhooks recommends.
const SKEW_S_MAX: i64 = 300;

/// What a secret of Standard Webhooks begins with; the rest is the key in base64.
const STANDARD_PREFIX: &str = "whsec_";

/// The headers that sign, each as far as it is there.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HookHeaders<'h> {
    /// `X-Hub-Signature-256`: `sha256=` and hexadecimal digits.
    pub(crate) github: Option<&'h str>,
    /// `X-Forgejo-Signature` or `X-Gitea-Signature`: hexadecimal digits.
    pub(crate) gitea: Option<&'h str>,
    /// `X-Gitlab-Token`: the secret itself.
    pub(crate) gitlab: Option<&'h str>,
    /// `webhook-id`.
    pub(crate) id: Option<&'h str>,
    /// `webhook-timestamp`, in seconds since 1970.
    pub(crate) timestamp: Option<&'h str>,
    /// `webhook-signature`: `v1,` and base64, several with spaces between.
    pub(crate) signature: Option<&'h str>,
}

/// Why a hook is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HookFault {
    /// It is not signed.
    #[error(
        "found no signature, want X-Hub-Signature-256, X-Forgejo-Signature, X-Gitea-Signature, X-Gitlab-Token or \
         webhook-signature with webhook-id and webhook-timestamp; give the hook the secret of gitops.hook_secret_file"
    )]
    Unsigned,
    /// It is signed with something else.
    #[error(
        "found a signature of another body or with another secret, want one of what is sent, with the secret of \
         gitops.hook_secret_file"
    )]
    Wrong,
    /// It was signed too long ago, or in the future.
    #[error("found a signature of another time, want one of the last {SKEW_S_MAX} seconds; set the clocks")]
    Stale,
}

/// Looks at the strongest form that is there. `now_s`: seconds since 1970.
pub(crate) fn believe(secret: &[u8], headers: HookHeaders<'_>, body: &[u8], now_s: i64) -> Result<(), HookFault> {
    let key = Key::new(HMAC_SHA256, secret);
    if let (Some(id), Some(timestamp), Some(signatures)) = (headers.id, headers.timestamp, headers.signature) {
        return standard(secret, &StandardHook { id, timestamp, signatures, body }, now_s);
    }
    let hex = headers.github.map(|text| text.strip_prefix("sha256=").unwrap_or("")).or(headers.gitea);
    if let Some(hex) = hex {
        let tag = bytes_of_hex(hex).ok_or(HookFault::Wrong)?;
        return verify(&key, body, &tag).map_err(|_wrong| HookFault::Wrong);
    }
    let token = headers.gitlab.ok_or(HookFault::Unsigned)?;
    if is_same(&key, token.as_bytes(), secret) { Ok(()) } else { Err(HookFault::Wrong) }
}

/// Whether two texts are the same, in a time that says nothing of either: their codes are compared, and not they.
fn is_same(key: &Key, found: &[u8], wanted: &[u8]) -> bool {
    verify(key, found, sign(key, wanted).as_ref()).is_ok()
}

/// A hook in the form of Standard Webhooks.
struct StandardHook<'h> {
    id: &'h str,
    timestamp: &'h str,
    signatures: &'h str,
    body: &'h [u8],
}

fn standard(secret: &[u8], hook: &StandardHook<'_>, now_s: i64) -> Result<(), HookFault> {
    let encoded = std::str::from_utf8(secret).ok().and_then(|text| text.strip_prefix(STANDARD_PREFIX));
    let decoded = encoded.and_then(|text| STANDARD.decode(text).ok());
    let key = Key::new(HMAC_SHA256, decoded.as_deref().unwrap_or(secret));
    let mut signed = Context::with_key(&key);
    for part in [hook.id.as_bytes(), b".", hook.timestamp.as_bytes(), b".", hook.body] {
        signed.update(part);
    }
    // Once: the body may be large, and a header may have room for many signatures.
    let wanted = signed.sign();
    let mut found = hook.signatures.split(' ').filter_map(|text| STANDARD.decode(text.strip_prefix("v1,")?).ok());
    if !found.any(|tag| is_same(&key, &tag, wanted.as_ref())) {
        return Err(HookFault::Wrong);
    }
    let at_s: i64 = hook.timestamp.parse().map_err(|_no_number| HookFault::Wrong)?;
    if now_s.abs_diff(at_s) > SKEW_S_MAX.unsigned_abs() { Err(HookFault::Stale) } else { Ok(()) }
}

fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| if let [high, low] = pair { Some((digit(*high)? << 4) | digit(*low)?) } else { None }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"Hello, World!";
    const SECRET: &[u8] = b"It's a Secret to Everybody";
    /// The example in GitHub's description of its hooks.
    const GITHUB: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn of(headers: HookHeaders<'_>) -> Result<(), HookFault> {
        believe(SECRET, headers, BODY, 0)
    }

    #[test]
    fn the_example_of_github_is_believed_and_nothing_near_it() {
        let github = |text| HookHeaders { github: Some(text), ..HookHeaders::default() };
        assert_eq!(of(github(GITHUB)), Ok(()));
        assert_eq!(believe(SECRET, github(GITHUB), b"Hello, World?", 0), Err(HookFault::Wrong));
        assert_eq!(believe(b"another", github(GITHUB), BODY, 0), Err(HookFault::Wrong));
        let half = GITHUB.get(..39).unwrap();
        for bad in
            ["", "sha256=", "sha1=757107ea", &GITHUB["sha256=".len()..], half, "sha256=zz", &GITHUB.replace('7', "8")]
        {
            assert_eq!(of(github(bad)), Err(HookFault::Wrong), "{bad}");
        }
        assert_eq!(of(HookHeaders::default()), Err(HookFault::Unsigned));
    }

    #[test]
    fn gitea_and_forgejo_write_the_same_without_a_prefix_and_gitlab_the_secret() {
        let hex = &GITHUB["sha256=".len()..];
        assert_eq!(of(HookHeaders { gitea: Some(hex), ..HookHeaders::default() }), Ok(()));
        assert_eq!(of(HookHeaders { gitea: Some(GITHUB), ..HookHeaders::default() }), Err(HookFault::Wrong));
        let gitlab = |text| HookHeaders { gitlab: Some(text), ..HookHeaders::default() };
        assert_eq!(of(gitlab("It's a Secret to Everybody")), Ok(()));
        for bad in ["", "It's a Secret to Everybod", "It's a Secret to Everybody!"] {
            assert_eq!(of(gitlab(bad)), Err(HookFault::Wrong), "{bad}");
        }
        // A good token does not make up for a bad signature.
        let both = HookHeaders { github: Some("sha256=00"), ..gitlab("It's a Secret to Everybody") };
        assert_eq!(of(both), Err(HookFault::Wrong));
    }

    #[test]
    fn standard_webhooks_are_believed_in_their_time() {
        let secret = format!("whsec_{}", STANDARD.encode("0123456789abcdef0123456789abcdef"));
        let (at, now) = ("1771622898", 1_771_622_898);
        let signature = "v1,OhixNaSff85Z3ajZeSQg53ufNonweAFURktghozqebI=";
        let hook = |id, signature, now| {
            let headers =
                HookHeaders { id: Some(id), timestamp: Some(at), signature: Some(signature), ..HookHeaders::default() };
            believe(secret.as_bytes(), headers, br#"{"a":1}"#, now)
        };
        assert_eq!(hook("msg_1", signature, now), Ok(()));
        let several = format!("v1,AAAA v1a,x {signature}");
        assert_eq!(hook("msg_1", &several, now + 300), Ok(()), "one of several");
        assert_eq!(hook("msg_1", signature, now + 301), Err(HookFault::Stale));
        assert_eq!(hook("msg_1", signature, now - 301), Err(HookFault::Stale));
        for bad in [("msg_2", signature), ("msg_1", "v1,"), ("msg_1", "v1,AAAA"), ("msg_1", &signature[3..])] {
            assert_eq!(hook(bad.0, bad.1, now), Err(HookFault::Wrong), "{bad:?}");
        }
    }
}
