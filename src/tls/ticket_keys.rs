//! Keys of session tickets that several processes share: replicas of a fleet, and the two of an upgrade in place.
//!
//! A file has one key a line, in hex. The first one seals, all of them open, so that a new key comes without a full
//! handshake: it is put second everywhere, then first, and the old one is taken out after the tickets have ended.
//!
//! No key is used as it stands. What seals is derived from it and from what the end asks of its clients, so that a
//! ticket of an end that asks for no certificate opens nothing at one that does. Each ticket has a key of its own,
//! derived by sixteen bytes of chance: nonces of chance under one key for months would come twice in the end. The time
//! of its making is sealed in. Without it a ticket would be good for as long as its key is in a file.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac::{self, HMAC_SHA256};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::RootCertStore;
use rustls::server::ProducesTickets;

/// The length of a key.
const KEY_BYTES: usize = 32;

/// More are no rotation but a mistake.
const KEYS_MAX: usize = 16;

/// How long a ticket is good for: as long as those of keys that a process makes itself.
const LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// How much later than ours the clock of a replica may be that has made a ticket.
const CLOCKS_APART: Duration = Duration::from_secs(300);

/// What says which key has sealed a ticket.
const NAME_BYTES: usize = 16;

/// What a ticket's own key is derived by.
const SALT_BYTES: usize = 16;

/// When it was made, in seconds since 1970.
const TIME_BYTES: usize = 8;

/// What is in front of what is sealed.
const HEAD_BYTES: usize = NAME_BYTES + SALT_BYTES + TIME_BYTES + NONCE_LEN;

/// The keys of one end of TLS.
pub(crate) struct TicketKeys {
    /// The one that seals, and then the others.
    keys: Vec<TicketKey>,
    random: SystemRandom,
}

struct TicketKey {
    /// What tells it from the others.
    name: [u8; NAME_BYTES],
    /// What each ticket's own key is derived from.
    root: hmac::Key,
}

/// Whom an end of TLS lets in.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TicketClients<'a> {
    /// Whose certificates are believed; none: none is asked for.
    pub(crate) authorities: Option<&'a RootCertStore>,
    /// Whether a client without a certificate is turned away.
    pub(crate) required: bool,
}

/// Why a text is no list of keys; nothing of it is told.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("found {0}, want one key a line, each of {len} hexadecimal digits, the one that seals first (openssl rand -hex {KEY_BYTES})", len = 2 * KEY_BYTES)]
pub struct BadTicketKeys(String);

/// Without the keys.
impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKeys").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

impl TicketKeys {
    /// Reads the text of a file, for an end with these clients.
    ///
    /// # Errors
    /// [`BadTicketKeys`] when it has no key, too many, or what is none.
    pub(crate) fn read(text: &[u8], clients: TicketClients<'_>) -> Result<Self, BadTicketKeys> {
        let mut keys: Vec<TicketKey> = Vec::new();
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let at = index + 1;
            let digits = line.len();
            let bytes =
                key(line).ok_or_else(|| BadTicketKeys(format!("no key but {digits} characters on line {at}")))?;
            let new = TicketKey::derive(&bytes, clients);
            if keys.iter().any(|known| known.name == new.name) {
                return Err(BadTicketKeys(format!("a key for the second time on line {at}")));
            }
            keys.push(new);
        }
        match keys.len() {
            0 => Err(BadTicketKeys("no key".to_owned())),
            count if count > KEYS_MAX => Err(BadTicketKeys(format!("{count} keys, of which {KEYS_MAX} are the most"))),
            _ => Ok(Self { keys, random: SystemRandom::new() }),
        }
    }

    fn seal(&self, plain: &[u8], now: u64) -> Option<Vec<u8>> {
        let key = self.keys.first()?;
        let (mut salt, mut nonce) = ([0; SALT_BYTES], [0; NONCE_LEN]);
        self.random.fill(&mut salt).ok()?;
        self.random.fill(&mut nonce).ok()?;
        let head = [&key.name[..], &salt, &now.to_be_bytes(), &nonce].concat();
        let mut sealed = plain.to_vec();
        let aead = key.of_ticket(&salt)?;
        aead.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&head), &mut sealed).ok()?;
        Some([head, sealed].concat())
    }

    fn open(&self, ticket: &[u8], now: u64) -> Option<Vec<u8>> {
        let (head, sealed) = ticket.split_at_checked(HEAD_BYTES)?;
        let (name, rest) = head.split_at_checked(NAME_BYTES)?;
        let (salt, rest) = rest.split_at_checked(SALT_BYTES)?;
        let (made, nonce) = rest.split_at_checked(TIME_BYTES)?;
        let made = u64::from_be_bytes(made.try_into().ok()?);
        // A name is no secret, and needs no comparison in constant time.
        let key = self.keys.iter().find(|key| key.name == name)?;
        let mut opened = sealed.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = key.of_ticket(salt)?.open_in_place(nonce, Aad::from(head), &mut opened).ok()?;
        let is_good = now <= made + LIFETIME.as_secs() && made <= now + CLOCKS_APART.as_secs();
        is_good.then(|| plain.to_vec())
    }
}

impl ProducesTickets for TicketKeys {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(LIFETIME.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, now())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.open(cipher, now())
    }
}

impl TicketKey {
    fn derive(bytes: &[u8; KEY_BYTES], clients: TicketClients<'_>) -> Self {
        let key = hmac::Key::new(HMAC_SHA256, bytes);
        let mut context = hmac::Context::with_key(&key);
        context.update(b"pointsman session tickets 1");
        context.update(&[u8::from(clients.required)]);
        for root in clients.authorities.iter().flat_map(|store| &store.roots) {
            let limits = root.name_constraints.as_deref().unwrap_or_default();
            for part in [root.subject.as_ref(), root.subject_public_key_info.as_ref(), limits] {
                context.update(&(part.len() as u64).to_be_bytes());
                context.update(part);
            }
        }
        let root = hmac::Key::new(HMAC_SHA256, context.sign().as_ref());
        let mut name = [0; NAME_BYTES];
        name.copy_from_slice(&hmac::sign(&root, b"name").as_ref()[..NAME_BYTES]);
        Self { name, root }
    }

    /// The key of one ticket.
    fn of_ticket(&self, salt: &[u8]) -> Option<LessSafeKey> {
        let key = hmac::sign(&self.root, &[b"ticket", salt].concat());
        Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_ref()).ok()?))
    }
}

/// A key from its hexadecimal digits.
fn key(line: &[u8]) -> Option<[u8; KEY_BYTES]> {
    let digits = <&[u8; 2 * KEY_BYTES]>::try_from(line).ok()?;
    let mut bytes = [0; KEY_BYTES];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |c: u8| char::from(c).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
    }
    Some(bytes)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";
    const B: &str = "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn keys(text: &str) -> TicketKeys {
        TicketKeys::read(text.as_bytes(), TicketClients::default()).expect("keys")
    }

    #[test]
    fn the_first_key_seals_and_all_of_them_open() {
        let (old, both, new) = (keys(A), keys(&format!("# new\n\n{B}\r\n{A}\n")), keys(B));
        let of_old = old.seal(b"session", 1000).expect("a ticket");
        let of_both = both.seal(b"session", 1000).expect("a ticket");
        let opens = |keys: &TicketKeys, ticket: &[u8]| keys.open(ticket, 1001).as_deref() == Some(b"session");
        assert!(opens(&old, &of_old) && opens(&both, &of_old) && !opens(&new, &of_old));
        assert!(!opens(&old, &of_both) && opens(&both, &of_both) && opens(&new, &of_both));
        assert_ne!(of_old, old.seal(b"session", 1000).expect("another one"), "no two are the same");
    }

    #[test]
    fn a_ticket_of_who_was_not_asked_for_a_certificate_opens_nothing_where_one_is_wanted() {
        let none = RootCertStore::empty();
        let ends = [(None, false), (Some(&none), false), (Some(&none), true)];
        let of = |(authorities, required)| TicketKeys::read(A.as_bytes(), TicketClients { authorities, required });
        let [open, _, strict] = ends.map(|end| of(end).expect("keys"));
        let ticket = open.seal(b"session", 1000).expect("a ticket");
        assert!(open.open(&ticket, 1000).is_some() && strict.open(&ticket, 1000).is_none());
    }

    #[test]
    fn a_ticket_that_was_touched_or_is_old_or_of_tomorrow_is_none() {
        let keys = keys(A);
        let ticket = keys.seal(b"session", 100_000).expect("a ticket");
        for place in 0..ticket.len() {
            let mut touched = ticket.clone();
            touched[place] ^= 1;
            assert_eq!(keys.open(&touched, 100_001), None, "at {place}");
            assert_eq!(keys.open(&ticket[..place], 100_001), None, "cut at {place}");
        }
        let good = |now: u64| keys.open(&ticket, now).is_some();
        assert!(good(100_000) && good(100_000 + LIFETIME.as_secs()) && good(100_000 - CLOCKS_APART.as_secs()));
        assert!(!good(100_001 + LIFETIME.as_secs()) && !good(99_999 - CLOCKS_APART.as_secs()));
        assert_eq!(keys.open(&[], 100_000), None);
    }

    #[test]
    fn what_is_no_list_of_keys_is_told_by_its_line_and_without_a_digit_of_it() {
        let refused = |text: &str| {
            TicketKeys::read(text.as_bytes(), TicketClients::default()).expect_err("it is refused").to_string()
        };
        assert!(refused("").starts_with("found no key, want one key a line, each of 64 hexadecimal digits"));
        assert!(refused("# only words\n").starts_with("found no key, "));
        let short = refused(&format!("{A}\n0f1e2d"));
        assert!(short.contains("no key but 6 characters on line 2") && !short.contains("0f1e2d"), "{short}");
        assert!(refused(&A.replace('A', "x")).contains("no key but 64 characters on line 1"));
        assert!(refused(&format!("{A}\n{}", A.to_lowercase())).contains("a key for the second time on line 2"));
        let many: String = (0..17).map(|number| format!("{number:064x}\n")).collect();
        assert!(refused(&many).contains("17 keys, of which 16 are the most"));
    }
}
