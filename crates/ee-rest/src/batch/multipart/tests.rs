use super::*;

const TYPE: &str = "multipart/mixed; boundary=b";

fn reply(parts: &[(&str, &str)]) -> String {
    let part = |(id, http): &(&str, &str)| {
        format!(
            "--b\r\nContent-Type: application/http\r\nContent-ID: <response-{id}>\r\n\r\n{http}\r\n"
        )
    };
    parts.iter().map(part).collect::<String>() + "--b--\r\n"
}

type Read = Result<(u16, String), &'static str>;

fn bodies(body: &str) -> Vec<(String, Read)> {
    let parts = parse(TYPE, body.as_bytes(), 10).unwrap();
    let read = |answer: Answer<'_>| {
        (
            answer.status.as_u16(),
            String::from_utf8_lossy(answer.body).into_owned(),
        )
    };
    parts
        .into_iter()
        .map(|part| (part.id, part.answer.map(read)))
        .collect()
}

#[test]
fn parts_are_read_by_their_ids() {
    let body = reply(&[
        (
            "a",
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}\r\n",
        ),
        ("b", "HTTP/1.1 404 Not Found\r\n\r\n{\"error\": {}}"),
        ("c", "HTTP/1.1 204 No Content\r\n\r\n"),
    ]);
    assert_eq!(
        bodies(&body),
        [
            ("a".into(), Ok((200, "{}".into()))),
            ("b".into(), Ok((404, "{\"error\": {}}".into()))),
            ("c".into(), Ok((204, String::new()))),
        ]
    );
    // Lines that end with a line feed alone, and text before the first part.
    let bare = format!("hello\n{}", body.replace("\r\n", "\n"));
    assert_eq!(bodies(&bare).len(), 3);
}

#[test]
fn a_body_may_hold_what_looks_like_a_delimiter() {
    let body = reply(&[("a", "HTTP/1.1 200 OK\r\n\r\nx--b\r\n--bc\r\n\r\nend")]);
    assert_eq!(
        bodies(&body),
        [("a".into(), Ok((200, "x--b\r\n--bc\r\n\r\nend".into())))]
    );
}

#[test]
fn what_is_wrong_with_one_part_leaves_the_others_alone() {
    for (http, why) in [
        ("", "it has no status"),
        ("HTTP/1.1\r\n\r\n", "it has no status"),
        ("HTTP/1.1 999999 X\r\n\r\n", "it has no status"),
        ("HTTP/1.1 100 Continue\r\n\r\n", "it has no status"),
        ("SPDY/1 200 OK\r\n\r\n", "it has no status"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}",
            "its length is no number",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}",
            "it is cut off",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: x",
            "its headers do not end",
        ),
    ] {
        let body = reply(&[("a", http), ("b", "HTTP/1.1 200 OK\r\n\r\n{}")]);
        let read = bodies(&body);
        assert_eq!(read[0], ("a".into(), Err(why)), "{http:?}");
        assert_eq!(read[1], ("b".into(), Ok((200, "{}".into()))), "{http:?}");
    }
}

#[test]
fn a_reply_that_is_cut_loses_the_part_that_was_cut_and_no_other() {
    let body = reply(&[
        ("a", "HTTP/1.1 200 OK\r\n\r\n{}"),
        ("b", "HTTP/1.1 200 OK\r\n\r\n{\"long\": true}"),
    ]);
    let whole = bodies(&body);
    for end in 0..body.len() {
        let Ok(parts) = parse(TYPE, &body.as_bytes()[..end], 10) else {
            continue;
        };
        for part in parts {
            if let Ok(answer) = part.answer {
                let sent = whole.iter().find(|(id, _)| *id == part.id).unwrap();
                let read = String::from_utf8_lossy(answer.body).into_owned();
                assert_eq!(sent.1, Ok((200, read)), "cut after {end}");
            }
        }
    }
}

#[test]
fn a_reply_of_another_form_is_refused() {
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
    let none = reply(&[]);
    let quoted = parse(
        "Multipart/Mixed; charset=x; Boundary=\"b\"",
        none.as_bytes(),
        10,
    );
    assert_eq!(quoted, Ok(vec![]));
}

#[test]
fn more_parts_than_calls_are_refused_and_parts_for_nobody_left_out() {
    let body = reply(&[
        ("a", "HTTP/1.1 200 OK\r\n\r\n"),
        ("a", "HTTP/1.1 200 OK\r\n\r\n"),
    ]);
    assert!(parse(TYPE, body.as_bytes(), 1).is_err());
    let nobody = "--b\r\n\r\nHTTP/1.1 200 OK\r\n\r\n\r\n--b\r\nContent-ID: <x>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n\r\n--b--";
    assert_eq!(bodies(nobody), []);
}

#[test]
fn no_bytes_make_it_panic() {
    let body = reply(&[("a", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")]);
    // A generator as in Numerical Recipes: the same bytes in every run.
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
            assert!(part.answer.map_or(0, |answer| answer.body.len()) <= bytes.len());
        }
    }
}

proptest::proptest! {
    #[test]
    fn bodies_that_were_written_are_read_the_same_to_the_byte(
        bodies in proptest::collection::vec("[a-z<>{}\r\n -]{0,80}", 1..6),
    ) {
        // No body has a figure in it, and so the boundary.
        let mut text = String::new();
        for (i, body) in bodies.iter().enumerate() {
            let length = body.len();
            text += &format!("--b7\r\nContent-ID: <response-{i}>\r\n\r\nHTTP/1.1 200 OK\r\n");
            text += &format!("Content-Length: {length}\r\n\r\n{body}\r\n");
        }
        text += "--b7--\r\n";
        let read = parse("multipart/mixed; boundary=b7", text.as_bytes(), 10).unwrap();
        let read: Vec<_> = read.into_iter().map(|part| part.answer.unwrap().body).collect();
        assert_eq!(read, bodies.iter().map(String::as_bytes).collect::<Vec<_>>());
    }
}
