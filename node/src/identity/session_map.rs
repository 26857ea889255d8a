//! What a session cookie says once decrypted: whose it is, since when, until when, and the app's own entries.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tengen_protocol::Uid;

/// The decrypted session map: a JSON object with the keys `id`, `uid`, `issued`, `expires` of ours
/// and whatever the app put beside them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SessionMap(Map<String, Value>);

impl SessionMap {
    /// A map for `uid` with a fresh random `id`, valid from `issued` for `max_age` seconds.
    pub(crate) fn begin(uid: &Uid, issued: u64, max_age: u64) -> SessionMap {
        let id: [u8; 16] = rand::random();
        let mut map = Map::new();
        map.insert("id".into(), URL_SAFE_NO_PAD.encode(id).into());
        map.insert("uid".into(), uid.as_str().into());
        map.insert("issued".into(), issued.into());
        map.insert("expires".into(), issued.saturating_add(max_age).into());
        SessionMap(map)
    }

    /// Reads what [`SessionMap::to_json`] wrote; `None` for anything else and for what expired
    /// before `now` (seconds since 1970).
    pub(crate) fn parse(json: &str, now: u64) -> Option<SessionMap> {
        let Ok(Value::Object(map)) = serde_json::from_str(json) else {
            return None;
        };
        let map = SessionMap(map);
        (map.expires() > now).then_some(map)
    }

    pub(crate) fn to_json(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }

    /// The user, or `None` if the map names none that is legal.
    pub fn uid(&self) -> Option<Uid> {
        Uid::try_from(self.0.get("uid")?.as_str()?).ok()
    }

    /// When it was issued, in seconds since 1970.
    pub fn issued(&self) -> u64 {
        self.0.get("issued").and_then(Value::as_u64).unwrap_or(0)
    }

    /// When it ends, in seconds since 1970. A map without the key has ended.
    pub fn expires(&self) -> u64 {
        self.0.get("expires").and_then(Value::as_u64).unwrap_or(0)
    }

    /// An entry, ours or the app's.
    pub fn entry(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// Puts an entry of the app's into the map. It travels in the cookie, so keep it short: the
    /// whole cookie has at most 4096 bytes.
    ///
    /// Our own keys (`id`, `uid`, `issued`, `expires`) are left as they are.
    pub fn insert(&mut self, key: &str, value: Value) {
        if !matches!(key, "id" | "uid" | "issued" | "expires") {
            self.0.insert(key.into(), value);
        }
    }

    /// The token that a page of this login presents with its requests.
    ///
    /// Derived from the map's random id, so it needs no store, is the same on every node, and is
    /// another after the next login. `None` if the map has no id.
    pub fn csrf_token(&self) -> Option<String> {
        let id = self.0.get("id")?.as_str()?;
        let digest = Sha256::new()
            .chain_update(b"tengen csrf 1\0")
            .chain_update(id.as_bytes())
            .finalize();
        Some(URL_SAFE_NO_PAD.encode(digest))
    }
}
