//! Private keys in PEM, RSA and P-256, as in files and variables.
#![no_main]

use ee_token::{EcPrivateKey, ErrorKind, RsaPrivateKey};
use fuzz::{CANARY, check_error, with_keys};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let text = with_keys(text);
    let one_line = text.replace('\n', "\\n");
    let (rsa, ec) = (
        RsaPrivateKey::from_pem(&text),
        EcPrivateKey::from_pem(&text),
    );
    for error in [rsa.as_ref().err(), ec.as_ref().err()]
        .into_iter()
        .flatten()
    {
        assert_eq!(error.kind(), ErrorKind::InvalidKey);
        check_error(error, error.remedy());
        let shown = format!("{error} {error:?}");
        assert!(shown.len() < 1000 && !shown.contains(CANARY), "{shown}");
    }
    if let Ok(key) = &rsa {
        let again = RsaPrivateKey::from_pem(&one_line).expect("the same on one line");
        let signature = key.sign(b"x").expect("a signature");
        assert_eq!(signature, again.sign(b"x").expect("a signature"));
        assert!((256..=512).contains(&signature.len()));
        assert!(ec.is_err());
    }
    if let Ok(key) = &ec {
        EcPrivateKey::from_pem(&one_line).expect("the same on one line");
        assert_eq!(key.sign(b"x").expect("a signature").len(), 64);
    }
});
