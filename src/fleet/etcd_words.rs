//! The words of etcd's JSON gateway: keys and values in base64, numbers of 64 bits as texts, and false left out.
//!
//! Paths and shapes are those of `/v3` of etcd 3.4 and later (`rpc.proto`, through grpc-gateway).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

/// A key with its value, as etcd has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct EtcdPair {
    #[serde(deserialize_with = "text")]
    pub(crate) key: String,
    #[serde(deserialize_with = "text")]
    pub(crate) value: String,
    #[serde(deserialize_with = "number")]
    pub(crate) create_revision: u64,
    #[serde(deserialize_with = "number")]
    pub(crate) mod_revision: u64,
}

/// What stands before each answer.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EtcdHeader {
    /// How often anything was written, of all who use this etcd.
    #[serde(deserialize_with = "number")]
    pub(crate) revision: u64,
}

/// The answer of `/v3/kv/range`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EtcdRange {
    pub(crate) header: EtcdHeader,
    pub(crate) kvs: Vec<EtcdPair>,
}

/// The answer of `/v3/kv/txn`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EtcdTxn {
    pub(crate) header: EtcdHeader,
    pub(crate) succeeded: bool,
    pub(crate) responses: Vec<EtcdResponse>,
}

/// One part of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EtcdResponse {
    pub(crate) response_range: EtcdRange,
}

/// The answer of `/v3/lease/grant`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EtcdGrant {
    #[serde(rename = "ID", deserialize_with = "number")]
    pub(crate) id: u64,
}

/// A line of the answer of `/v3/lease/keepalive` or `/v3/watch`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct EtcdLine<T> {
    pub(crate) result: Option<T>,
    pub(crate) error: Option<Value>,
}

/// What a lease has left.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EtcdLease {
    pub(crate) header: EtcdHeader,
    /// Seconds; 0 when the lease has ended.
    #[serde(rename = "TTL", deserialize_with = "number")]
    pub(crate) ttl: u64,
}

/// What a watch tells.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EtcdNews {
    pub(crate) header: EtcdHeader,
    pub(crate) canceled: bool,
    #[serde(deserialize_with = "number")]
    pub(crate) compact_revision: u64,
    pub(crate) cancel_reason: String,
    pub(crate) events: Vec<EtcdEvent>,
}

/// A key that was written or deleted.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EtcdEvent {
    /// Left out when it was written.
    #[serde(rename = "type")]
    kind: String,
    pub(crate) kv: EtcdPair,
}

impl EtcdEvent {
    /// Whether it was deleted.
    pub(crate) fn is_gone(&self) -> bool {
        self.kind == "DELETE"
    }
}

/// The answer of `/v3/auth/authenticate`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EtcdToken {
    pub(crate) token: String,
}

/// What the gateway says when a call fails.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct EtcdFault {
    /// Of gRPC.
    pub(crate) code: u16,
    pub(crate) error: String,
    pub(crate) message: String,
}

impl EtcdFault {
    /// Its text.
    pub(crate) fn text(&self) -> &str {
        if self.message.is_empty() { &self.error } else { &self.message }
    }
}

fn number<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Text(String),
        Number(u64),
    }
    match Either::deserialize(from)? {
        Either::Number(number) => Ok(number),
        Either::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}

fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let bytes = BASE64_STANDARD.decode(String::deserialize(from)?).map_err(serde::de::Error::custom)?;
    String::from_utf8(bytes).map_err(serde::de::Error::custom)
}

fn coded(text: &str) -> String {
    BASE64_STANDARD.encode(text)
}

/// What comes after all keys that begin with `prefix`.
fn end_of(prefix: &str) -> String {
    let mut bytes = prefix.as_bytes().to_vec();
    // Prefixes are ASCII, so that the last byte has a next one.
    if let Some(last) = bytes.last_mut() {
        *last += 1;
    }
    BASE64_STANDARD.encode(bytes)
}

/// A request for one key.
pub(crate) fn one(key: &str) -> Value {
    json!({ "key": coded(key) })
}

/// A request for all keys that begin with `prefix`.
pub(crate) fn all(prefix: &str) -> Value {
    json!({ "key": coded(prefix), "range_end": end_of(prefix) })
}

/// The same without their values.
pub(crate) fn all_keys(prefix: &str) -> Value {
    json!({ "key": coded(prefix), "range_end": end_of(prefix), "keys_only": true })
}

/// A request for the keys from `first` to the end of `prefix`.
pub(crate) fn from(first: &str, prefix: &str) -> Value {
    json!({ "key": coded(first), "range_end": end_of(prefix) })
}

/// A watch on all keys that begin with `prefix`, from a revision of etcd on.
pub(crate) fn watch(prefix: &str, revision: u64) -> Value {
    let (key, range_end) = (coded(prefix), end_of(prefix));
    let start_revision = revision.to_string();
    json!({ "create_request": { "key": key, "range_end": range_end, "start_revision": start_revision, "progress_notify": true } })
}

/// A part of a transaction: that a key has this version.
pub(crate) fn is_version(key: &str, mod_revision: u64) -> Value {
    json!({ "target": "MOD", "key": coded(key), "result": "EQUAL", "mod_revision": mod_revision.to_string() })
}

/// A part of a transaction: that a key was made by this revision of etcd; 0: that it is not there.
pub(crate) fn is_made_by(key: &str, create_revision: u64) -> Value {
    json!({ "target": "CREATE", "key": coded(key), "result": "EQUAL", "create_revision": create_revision.to_string() })
}

/// A part of a transaction: a key is written; with a lease it goes with that.
pub(crate) fn put(key: &str, value: &str, lease: u64) -> Value {
    json!({ "request_put": { "key": coded(key), "value": coded(value), "lease": lease.to_string() } })
}

/// A part of a transaction: a key is deleted.
pub(crate) fn delete(key: &str) -> Value {
    json!({ "request_delete_range": { "key": coded(key) } })
}

/// A part of a transaction: a key is read.
pub(crate) fn read(key: &str) -> Value {
    json!({ "request_range": { "key": coded(key) } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_texts_and_false_is_left_out() {
        let text = r#"{"header":{"revision":"12"},"responses":[{"response_range":{"kvs":[
            {"key":"YQ==","create_revision":"3","mod_revision":"9","value":"eA=="}],"count":"1"}}]}"#;
        let txn: EtcdTxn = serde_json::from_str(text).expect("an answer of a gateway");
        assert!(!txn.succeeded && txn.header.revision == 12);
        let wanted = EtcdPair { key: "a".into(), value: "x".into(), create_revision: 3, mod_revision: 9 };
        assert_eq!(txn.responses[0].response_range.kvs, [wanted]);
        let news = r#"{"result":{"header":{"revision":"5"},"canceled":true,"compact_revision":"3"}}"#;
        let line: EtcdLine<EtcdNews> = serde_json::from_str(news).expect("a line");
        assert!(line.result.is_some_and(|news| news.canceled && news.compact_revision == 3));
    }

    #[test]
    fn a_prefix_ends_before_its_neighbour() {
        let range = all("/a/");
        assert_eq!(range["range_end"], coded("/a0"), "the byte after a slash");
    }
}
