//! The reply to many calls in one request: no part is longer than what was received, and what
//! was read, written again, is read the same.
#![no_main]

use ee_rest::fuzzing::batch_reply;

const MOST: usize = 10;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let first = text.lines().next().unwrap_or_default();
    for content_type in [first, "multipart/mixed; boundary=b"] {
        let Ok(parts) = batch_reply(content_type, data, MOST) else {
            continue;
        };
        assert!(parts.len() <= MOST);
        let bodies = parts.iter().filter_map(|(_, answer)| answer.as_ref().ok());
        let length: usize = bodies.map(|(_, _, body)| body.len()).sum();
        assert!(length <= data.len());

        let mut written = Vec::new();
        for (id, answer) in &parts {
            let Ok((status, _, body)) = answer else {
                continue;
            };
            assert!((200..600).contains(&status.as_u16()));
            let head = format!(
                "--none-of-the-bodies-has-this\r\nContent-ID: <response-{id}>\r\n\r\n\
                 HTTP/1.1 {}\r\nContent-Length: {}\r\n\r\n",
                status.as_u16(),
                body.len()
            );
            written.extend_from_slice(head.as_bytes());
            written.extend_from_slice(body);
            written.extend_from_slice(b"\r\n");
        }
        if written.is_empty() || text.contains("none-of-the-bodies-has-this") {
            continue;
        }
        written.extend_from_slice(b"--none-of-the-bodies-has-this--\r\n");
        let again = batch_reply(
            "multipart/mixed; boundary=none-of-the-bodies-has-this",
            &written,
            MOST,
        );
        let again: Vec<_> = again
            .expect("what was written is read")
            .into_iter()
            .collect();
        let usable = parts.into_iter().filter(|(_, answer)| answer.is_ok());
        for ((id, answer), (old_id, old)) in again.into_iter().zip(usable) {
            assert_eq!(id, old_id);
            let ((status, _, body), (old_status, _, old_body)) =
                (answer.expect("an answer"), old.expect("an answer"));
            assert_eq!((status, body), (old_status, old_body));
        }
    }
});
