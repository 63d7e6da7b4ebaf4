//! Secrets that can be found again: generated for each run, and detected whole or in part, in every
//! common encoding of text and bytes.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// A piece of a secret this long is a leak: 71 random bits.
const PIECE: usize = 12;

/// The secrets of a run, by name.
#[derive(Debug, Default, Clone)]
pub struct Canaries(BTreeMap<String, Vec<u8>>);

/// A secret in a text that must not contain it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone)]
pub struct Leak {
    /// The name of the secret.
    pub secret: String,
    /// Its encoding.
    pub form: &'static str,
    /// The text around it.
    pub context: String,
}

/// Returns random letters and digits.
pub fn random(length: usize) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz0123456789";
    let mut text = String::new();
    while text.len() < length {
        let mut bits = RandomState::new().build_hasher().finish();
        for _ in 0..10 {
            text.push(char::from(LETTERS[(bits % LETTERS.len() as u64) as usize]));
            bits /= LETTERS.len() as u64;
        }
    }
    text.truncate(length);
    text
}

impl Canaries {
    /// Generates a secret with this prefix, which is not secret, and with a character in the middle
    /// that is percent-encoded in URLs and forms.
    pub fn plant(&mut self, name: impl Into<String>, start: &str) -> String {
        let chance = format!("{}/{}", random(28), random(24));
        self.0.insert(name.into(), chance.clone().into_bytes());
        format!("{start}{chance}")
    }

    /// Generates a secret of letters and digits only.
    pub fn plant_word(&mut self, name: impl Into<String>, start: &str) -> String {
        let chance = random(48);
        self.0.insert(name.into(), chance.clone().into_bytes());
        format!("{start}{chance}")
    }

    /// Adds a secret.
    pub fn add(&mut self, name: impl Into<String>, secret: &str) {
        assert!(secret.len() >= 2 * PIECE, "too short to be detected");
        self.0.insert(name.into(), secret.as_bytes().to_vec());
    }

    /// Adds a private key: the lines of its PEM, and its bytes.
    pub fn add_pem(&mut self, name: &str, pem: &str) {
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = STANDARD.decode(&body).expect("a PEM");
        // The beginning is the same in every key.
        self.0
            .insert(format!("{name} (PEM)"), body.as_bytes()[60..].to_vec());
        self.0.insert(format!("{name} (DER)"), der[45..].to_vec());
    }

    /// Adds an RSA key whose modulus is in a certificate: the part after the modulus.
    pub fn add_private_exponent(&mut self, name: &str, pem: &str) {
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = STANDARD.decode(&body).expect("a PEM");
        self.0.insert(name.to_owned(), der[310..].to_vec());
    }

    /// Adds a P-256 key in PKCS #8: its private number.
    pub fn add_ec_pem(&mut self, name: &str, pem: &str) {
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = STANDARD.decode(&body).expect("a PEM");
        self.0.insert(name.to_owned(), der[36..68].to_vec());
    }

    /// Adds a JWT: its claims and its signature. The header is not secret.
    pub fn add_jwt(&mut self, name: &str, jwt: &str) {
        if let Some((rest, signature)) = jwt.rsplit_once('.') {
            self.add(format!("{name} (signature)"), signature);
            let claims = rest.split('.').nth(1).unwrap_or_default();
            if claims.len() >= 8 * PIECE {
                self.add(
                    format!("{name} (claims)"),
                    &claims[claims.len() - 4 * PIECE..],
                );
            }
        }
    }

    /// Returns the names of the secrets.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Adds other secrets.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Returns a finder of every piece.
    pub fn finder(&self) -> Finder {
        self.finder_of_every(1)
    }

    /// Returns a finder for long texts. It knows one piece in `step`, and finds leaks that are that
    /// much longer than a piece.
    pub fn finder_of_every(&self, step: usize) -> Finder {
        let mut finder = Finder {
            names: self.0.keys().cloned().collect(),
            pieces: HashMap::new(),
            lengths: Vec::new(),
            begins: vec![0; 1 << 18],
        };
        for (name, secret) in self.0.values().enumerate() {
            for (form, length, written) in forms(secret) {
                for piece in written.windows(length).step_by(step) {
                    finder.learn(piece, name, form);
                }
            }
        }
        finder
    }

    /// Returns the secrets in a text.
    pub fn find(&self, text: &str) -> Vec<Leak> {
        self.finder().find(text)
    }
}

/// Returns the encodings of a secret: name, length of a piece that counts, text.
fn forms(secret: &[u8]) -> Vec<(&'static str, usize, Vec<u8>)> {
    let hex = |case: fn(u8) -> String| secret.iter().map(|b| case(*b)).collect::<String>();
    let list = secret
        .iter()
        .map(u8::to_string)
        .collect::<Vec<_>>()
        .join(",");
    let mut forms = vec![
        ("hex", 2 * PIECE, hex(|b| format!("{b:02x}")).into_bytes()),
        ("hex", 2 * PIECE, hex(|b| format!("{b:02X}")).into_bytes()),
        ("list of bytes", 3 * PIECE, list.into_bytes()),
    ];
    // Base64 depends on the number of bytes before the secret, modulo three.
    for before in 0..3 {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(secret);
        for (form, engine) in [
            ("base64", &STANDARD_NO_PAD),
            ("base64url", &URL_SAFE_NO_PAD),
        ] {
            let text = engine.encode(&bytes);
            let inside = text.len().saturating_sub(4).max(4);
            forms.push((form, 16, text.as_bytes()[4..inside].to_vec()));
        }
    }
    if let Ok(text) = std::str::from_utf8(secret) {
        let percent: String = url::form_urlencoded::byte_serialize(secret).collect();
        let json = serde_json::Value::from(text)
            .to_string()
            .replace('/', "\\/");
        forms.push(("plain", PIECE, secret.to_vec()));
        forms.push((
            "percent-encoded",
            PIECE,
            percent.to_lowercase().into_bytes(),
        ));
        forms.push(("percent-encoded", PIECE, percent.into_bytes()));
        forms.push(("JSON", PIECE, json.as_bytes()[1..json.len() - 1].to_vec()));
    }
    forms
}

/// Detects secrets in texts.
#[derive(Debug, Clone)]
pub struct Finder {
    names: Vec<String>,
    pieces: HashMap<Vec<u8>, (usize, &'static str)>,
    lengths: Vec<usize>,
    /// A bit for the first eight bytes of each piece, so that most positions are skipped quickly.
    begins: Vec<u64>,
}

impl Finder {
    fn learn(&mut self, piece: &[u8], name: usize, form: &'static str) {
        let (word, bit) = Self::begin(piece);
        self.begins[word] |= bit;
        if !self.lengths.contains(&piece.len()) {
            self.lengths.push(piece.len());
        }
        self.pieces.entry(piece.to_vec()).or_insert((name, form));
    }

    fn begin(piece: &[u8]) -> (usize, u64) {
        let mut first = [0; 8];
        first.copy_from_slice(&piece[..8]);
        let hash = u64::from_le_bytes(first).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        ((hash >> 6) as usize, 1 << (hash & 63))
    }

    /// Returns the secrets in a text, once for each encoding.
    pub fn find(&self, text: &str) -> Vec<Leak> {
        // A list of bytes can be in one line or in many.
        let is_list = |three: &[u8]| {
            three[0].is_ascii_digit() && three[1] == b',' && three[2].is_ascii_whitespace()
        };
        let tight: Vec<u8> = if text.as_bytes().windows(3).any(is_list) {
            text.bytes().filter(|b| !b.is_ascii_whitespace()).collect()
        } else {
            Vec::new()
        };
        let mut found = BTreeMap::new();
        for bytes in [text.as_bytes(), &tight] {
            for at in 0..bytes.len().saturating_sub(PIECE - 1) {
                let (word, bit) = Self::begin(&bytes[at..]);
                if self.begins[word] & bit == 0 {
                    continue;
                }
                for length in &self.lengths {
                    let piece = bytes.get(at..at + length);
                    if let Some(hit) = piece.and_then(|piece| self.pieces.get(piece)) {
                        found.entry(*hit).or_insert_with(|| {
                            let before = &bytes[at.saturating_sub(160)..at];
                            let after = &bytes[at..(at + 40).min(bytes.len())];
                            format!(
                                "{}>>>{}",
                                String::from_utf8_lossy(before),
                                String::from_utf8_lossy(after)
                            )
                        });
                    }
                }
            }
        }
        found
            .into_iter()
            .map(|((name, form), context)| Leak {
                secret: self.names[name].clone(),
                form,
                context,
            })
            .collect()
    }
}
