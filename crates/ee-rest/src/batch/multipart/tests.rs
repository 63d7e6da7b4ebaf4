use super::*;

const TYPE: &str = "multipart/mixed; boundary=b";

fn batch_response(parts: &[(&str, &str)]) -> String {
    let part = |(id, http): &(&str, &str)| {
        format!(
            "--b\r\nContent-Type: application/http\r\nContent-ID: <response-{id}>\r\n\r\n{http}\r\n"
        )
    };
    parts.iter().map(part).collect::<String>() + "--b--\r\n"
}

type ParsedPart = Result<(u16, String), &'static str>;

fn parsed(body: &str) -> Vec<(String, ParsedPart)> {
    let parts = parse(TYPE, body.as_bytes(), 10).unwrap();
    let read = |response: PartResponse<'_>| {
        (
            response.status.as_u16(),
            String::from_utf8_lossy(response.body).into_owned(),
        )
    };
    parts
        .into_iter()
        .map(|part| (part.id, part.response.map(read)))
        .collect()
}

#[test]
fn parts_are_identified_by_content_id() {
    let body = batch_response(&[
        (
            "a",
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}\r\n",
        ),
        ("b", "HTTP/1.1 404 Not Found\r\n\r\n{\"error\": {}}"),
        ("c", "HTTP/1.1 204 No Content\r\n\r\n"),
    ]);
    assert_eq!(
        parsed(&body),
        [
            ("a".into(), Ok((200, "{}".into()))),
            ("b".into(), Ok((404, "{\"error\": {}}".into()))),
            ("c".into(), Ok((204, String::new()))),
        ]
    );
    // Bare line feeds, and a preamble before the first part.
    let bare = format!("hello\n{}", body.replace("\r\n", "\n"));
    assert_eq!(parsed(&bare).len(), 3);
}

#[test]
fn body_may_contain_text_similar_to_a_delimiter() {
    let body = batch_response(&[("a", "HTTP/1.1 200 OK\r\n\r\nx--b\r\n--bc\r\n\r\nend")]);
    assert_eq!(
        parsed(&body),
        [("a".into(), Ok((200, "x--b\r\n--bc\r\n\r\nend".into())))]
    );
}

#[test]
fn invalid_part_does_not_affect_the_others() {
    for (http, why) in [
        ("", "it has no valid status"),
        ("HTTP/1.1\r\n\r\n", "it has no valid status"),
        ("HTTP/1.1 999999 X\r\n\r\n", "it has no valid status"),
        ("HTTP/1.1 100 Continue\r\n\r\n", "it has no valid status"),
        ("SPDY/1 200 OK\r\n\r\n", "it has no valid status"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}",
            "its content length is not a number",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}",
            "it is cut off",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: x",
            "its headers are not terminated or too long",
        ),
    ] {
        let body = batch_response(&[("a", http), ("b", "HTTP/1.1 200 OK\r\n\r\n{}")]);
        let read = parsed(&body);
        assert_eq!(read[0], ("a".into(), Err(why)), "{http:?}");
        assert_eq!(read[1], ("b".into(), Ok((200, "{}".into()))), "{http:?}");
    }
}

#[test]
fn truncation_loses_only_the_truncated_part() {
    let body = batch_response(&[
        ("a", "HTTP/1.1 200 OK\r\n\r\n{}"),
        ("b", "HTTP/1.1 200 OK\r\n\r\n{\"long\": true}"),
    ]);
    let complete = parsed(&body);
    for end in 0..body.len() {
        let Ok(parts) = parse(TYPE, &body.as_bytes()[..end], 10) else {
            continue;
        };
        for part in parts {
            if let Ok(response) = part.response {
                let sent = complete.iter().find(|(id, _)| *id == part.id).unwrap();
                let read = String::from_utf8_lossy(response.body).into_owned();
                assert_eq!(sent.1, Ok((200, read)), "cut after {end}");
            }
        }
    }
}

#[test]
fn response_in_another_format_is_rejected() {
    for (content_type, body) in [
        ("text/html", "<html>"),
        ("", "--b\r\n"),
        ("multipart/mixed", "--b\r\n"),
        ("multipart/mixed; boundary=", "--\r\n"),
        ("multipart/mixed; boundary=\"\"", "--\r\n"),
        ("multipart/mixed; charset=x", "--b\r\n"),
        (TYPE, ""),
        (TYPE, "no delimiter"),
    ] {
        assert!(
            parse(content_type, body.as_bytes(), 10).is_err(),
            "{content_type} {body}"
        );
    }
    let long = format!("multipart/mixed; boundary={}", "b".repeat(71));
    assert!(parse(&long, b"", 10).is_err());
    let none = batch_response(&[]);
    let quoted = parse(
        "Multipart/Mixed; charset=x; Boundary=\"b\"",
        none.as_bytes(),
        10,
    );
    assert_eq!(quoted, Ok(vec![]));
}

#[test]
fn excess_parts_are_rejected_and_parts_without_id_skipped() {
    let body = batch_response(&[
        ("a", "HTTP/1.1 200 OK\r\n\r\n"),
        ("a", "HTTP/1.1 200 OK\r\n\r\n"),
    ]);
    assert!(parse(TYPE, body.as_bytes(), 1).is_err());
    let without_id = "--b\r\n\r\nHTTP/1.1 200 OK\r\n\r\n\r\n--b\r\nContent-ID: <x>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n\r\n--b--";
    assert_eq!(parsed(without_id), []);
}

#[test]
fn corrupted_response_does_not_panic() {
    let body = batch_response(&[("a", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")]);
    // The generator of Numerical Recipes, for the same bytes in every run.
    let mut seed = 1_u32;
    let mut next = move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) as usize
    };
    for _ in 0..5000 {
        let mut bytes = body.clone().into_bytes();
        for _ in 0..1 + next() % 4 {
            let at = next() % bytes.len();
            bytes[at] = b"\r\n-:b<> \xff0"[next() % 10];
        }
        for part in parse(TYPE, &bytes, 10).unwrap_or_default() {
            assert!(part.response.map_or(0, |response| response.body.len()) <= bytes.len());
        }
    }
}

proptest::proptest! {
    #[test]
    fn bodies_round_trip_to_the_byte(
        bodies in proptest::collection::vec("[a-z<>{}\r\n -]{0,80}", 1..6),
    ) {
        // Bodies contain no digit, and therefore not the boundary.
        let mut text = String::new();
        for (i, body) in bodies.iter().enumerate() {
            let length = body.len();
            text += &format!("--b7\r\nContent-ID: <response-{i}>\r\n\r\nHTTP/1.1 200 OK\r\n");
            text += &format!("Content-Length: {length}\r\n\r\n{body}\r\n");
        }
        text += "--b7--\r\n";
        let read = parse("multipart/mixed; boundary=b7", text.as_bytes(), 10).unwrap();
        let read: Vec<_> = read.into_iter().map(|part| part.response.unwrap().body).collect();
        assert_eq!(read, bodies.iter().map(String::as_bytes).collect::<Vec<_>>());
    }
}
