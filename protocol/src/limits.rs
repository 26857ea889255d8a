//! How large, deep and numerous the things a stranger sends may be, checked before anything is allocated for them.

/// The limits of one received frame or pushed event.
///
/// Depth counts what stands inside one another in `data`: an array, a map and a CBOR tag are a
/// level each, and so is every JSON array and object, those of the `$` conventions included.
/// Elements count every value, every map key and every JSON member of `data` once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of a whole frame or event, encoded.
    pub max_bytes: usize,
    /// Levels of nesting; more than [`Limits::DEEPEST`] is taken as that.
    pub max_depth: usize,
    /// Values in one frame or event. A value costs about 50 bytes once built.
    pub max_elements: usize,
}

impl Limits {
    /// No limit goes deeper: reading values is recursive, and this many levels fit the smallest
    /// stack it runs on (1 MiB in a browser).
    pub const DEEPEST: usize = 400;

    /// What a client applies to frames of a server whose hello said `max_bytes`.
    ///
    /// A value that was within the limits in one codec may outgrow them in the other: a control
    /// character is one byte in CBOR and six in JSON, an entry of a `$map` three levels instead
    /// of one. Whoever was already accepted must not be refused at the last step.
    pub fn from_server(max_bytes: u64) -> Limits {
        let own = Limits::default();
        let bytes = usize::try_from(max_bytes).unwrap_or(own.max_bytes);
        Limits {
            max_bytes: bytes.max(own.max_bytes).saturating_mul(8),
            max_depth: own.max_depth * 3,
            max_elements: own.max_elements * 4,
        }
    }
}

impl Default for Limits {
    /// 512 KiB, 64 levels, 65,536 elements.
    fn default() -> Limits {
        Limits {
            max_bytes: 512 * 1024,
            max_depth: 64,
            max_elements: 65_536,
        }
    }
}
