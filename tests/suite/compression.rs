//! Answers that a client asked to have compressed: the same answer, masked before, and cut where it would be cut.

use flate2::read::MultiGzDecoder;
use std::io::{Read, Write};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use super::harness::*;
use super::requests::on_http2;

fn policy() -> String {
    let policy = POLICY.replace(
        "    prefix: /api/accounts\n",
        "    prefix: /api/accounts\n    unmaskable: [image/png, text/plain]\n    compress: [zstd, br, gzip]\n",
    );
    assert_ne!(policy, POLICY);
    policy
}

fn decode(coding: &str, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::new();
    match coding {
        "gzip" => MultiGzDecoder::new(bytes).read_to_end(&mut out)?,
        "br" => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out)?,
        "zstd" => zstd::stream::Decoder::new(bytes)?.read_to_end(&mut out)?,
        other => panic!("{other}"),
    };
    Ok(out)
}

fn rows(count: usize, value: &str) -> String {
    let rows: Vec<String> = (0..count)
        .map(|at| format!(r#"{{"id":{at},"ssn":"{value}"}}"#))
        .collect();
    format!("[{}]", rows.join(","))
}

/// Answers `GET` and `HEAD` alike with these fields and this body, whose length it says or not.
fn backend(fields: &'static str, body: String, sized: bool) -> Backend {
    Backend::script(move |request, stream| {
        let mut bytes = format!("HTTP/1.1 200 OK\r\n{fields}").into_bytes();
        let head = request.method == "HEAD";
        if sized {
            write!(bytes, "Content-Length: {}\r\n\r\n", body.len()).unwrap();
            bytes.extend_from_slice(if head { b"" } else { body.as_bytes() });
        } else {
            bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            if !head {
                write!(bytes, "{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).unwrap();
            }
        }
        stream.write_all(&bytes).is_ok()
    })
}

const JSON: &str = "Content-Type: application/json\r\nETag: \"abc\"\r\nAccept-Ranges: bytes\r\nDigest: x\r\n";

fn ask(gateway: &Gateway, method: &str, role: &str, accept: &str) -> Answer {
    gateway.call(
        method,
        "/api/accounts/A1",
        &[role],
        &format!("Accept-Encoding: {accept}\r\n"),
        "",
    )
}

#[test]
fn what_a_client_asks_for_it_gets_masked_and_whole() {
    // Whole and flowing, of a length that is said and not.
    for (count, sized) in [(60, true), (60, false), (6000, true), (6000, false)] {
        let (secret, masked) = (rows(count, CANARY), rows(count, "[REDACTED]"));
        let backend = backend(JSON, secret.clone(), sized);
        let gateway = Setup::new(&backend).policy(&policy()).start();
        for (accept, coding) in [
            ("gzip", Some("gzip")),
            ("gzip, deflate, br, zstd", Some("zstd")),
            ("br;q=0.9, zstd;q=0.1", Some("br")),
            ("*", Some("zstd")),
            ("identity", None),
            ("gzip;q=0", None),
            ("rot13", None),
        ] {
            for (role, want) in [("clerk", &masked), ("caseworker", &secret)] {
                let name = format!("{count} {sized} {accept} {role}");
                let answer = ask(&gateway, "GET", role, accept);
                assert_eq!((answer.status, answer.whole), (200, true), "{name}");
                assert_eq!(answer.field("content-encoding"), coding, "{name}");
                let text = match coding {
                    Some(coding) => decode(coding, &answer.body).unwrap(),
                    None => answer.body.clone(),
                };
                assert!(text == want.as_bytes(), "{name}");
                let vary: Vec<_> = answer.fields.iter().filter(|(name, _)| name == "vary").collect();
                assert!(vary.iter().any(|(_, value)| value == "Accept-Encoding"), "{name}");
                if coding.is_some() {
                    assert!(answer.body.len() < want.len() / 2, "{name}");
                    assert_eq!(
                        (answer.field("accept-ranges"), answer.field("digest")),
                        (None, None),
                        "{name}"
                    );
                }
            }
        }
        assert_eq!(
            backend.last().field("accept-encoding"),
            Some("rot13"),
            "who sees all asks the backend itself"
        );
    }
}

#[test]
fn what_is_not_to_be_compressed_is_not() {
    let large = rows(100, "x");
    let png = "Content-Type: image/png\r\n";
    for (name, fields, body, accept, coded) in [
        ("small", JSON, rows(3, "x"), "gzip", false),
        ("small, and only coded", JSON, rows(3, "x"), "gzip, identity;q=0", true),
        ("image", png, large.clone(), "gzip", false),
        ("text", "Content-Type: text/plain\r\n", large.clone(), "gzip", true),
        (
            "no-transform",
            "Content-Type: application/json\r\nCache-Control: max-age=1, No-Transform\r\n",
            large.clone(),
            "gzip",
            false,
        ),
        (
            "asked",
            JSON,
            large.clone(),
            "gzip\r\nCache-Control: no-transform",
            false,
        ),
        ("nothing", JSON, String::new(), "gzip", false),
        ("json", JSON, large.clone(), "gzip", true),
    ] {
        let backend = backend(fields, body.clone(), true);
        let gateway = Setup::new(&backend).policy(&policy()).start();
        for role in ["clerk", "caseworker"] {
            let answer = ask(&gateway, "GET", role, accept);
            assert_eq!(answer.field("content-encoding").is_some(), coded, "{name} {role}");
            let own = name == "image" || role == "caseworker";
            let want = if own {
                body.clone()
            } else {
                body.replace(r#""ssn":"x""#, r#""ssn":"[REDACTED]""#)
            };
            assert!(coded || answer.body == want.as_bytes(), "{name} {role}");
            let vary = answer
                .fields
                .iter()
                .any(|(name, value)| name == "vary" && value == "Accept-Encoding");
            assert!(vary, "{name} {role}");
        }
    }
    // Coded by the backend, seen whole: as it came. A module that does not compress: never.
    let coded = backend(
        "Content-Type: application/json\r\nContent-Encoding: rot13\r\n",
        large.clone(),
        true,
    );
    let gateway = Setup::new(&coded).policy(&policy()).start();
    let answer = ask(&gateway, "GET", "caseworker", "gzip");
    assert_eq!(
        (answer.field("content-encoding"), answer.text()),
        (Some("rot13"), large.clone())
    );
    let plain = backend(JSON, large, true);
    let gateway = Setup::new(&plain).start();
    let answer = ask(&gateway, "GET", "clerk", "gzip");
    assert_eq!(
        (answer.field("content-encoding"), answer.field("vary")),
        (None, Some("Authorization"))
    );
}

#[test]
fn a_head_says_what_the_get_says() {
    for (count, sized) in [(3, true), (100, true), (100, false), (6000, true)] {
        let backend = backend(JSON, rows(count, "x"), sized);
        let gateway = Setup::new(&backend).policy(&policy()).start();
        let (got, head) = (
            ask(&gateway, "GET", "caseworker", "br"),
            ask(&gateway, "HEAD", "caseworker", "br"),
        );
        for name in ["content-encoding", "etag", "vary", "content-type", "accept-ranges"] {
            assert_eq!(head.field(name), got.field(name), "{count} {sized} {name}");
        }
        if got.field("content-encoding").is_some() {
            assert_eq!(head.field("content-length"), None, "{count} {sized}");
        }
        // How much is left of a masked answer is not known beforehand, and how much there was is not said.
        let head = ask(&gateway, "HEAD", "clerk", "br");
        assert_eq!(
            (head.field("content-encoding"), head.field("content-length")),
            (None, None)
        );
        let plain = ask(&gateway, "GET", "clerk", "identity");
        assert_eq!(head.field("etag"), plain.field("etag"));
    }
}

/// A backend that knows its own tag, `"abc"`.
fn conditional() -> Backend {
    let body = rows(100, CANARY);
    Backend::script(move |request, stream| {
        let same = request
            .field("if-none-match")
            .is_some_and(|tags| tags.contains("\"abc\""));
        let bytes = if same {
            "HTTP/1.1 304 Not Modified\r\nETag: \"abc\"\r\n\r\n".to_owned()
        } else {
            format!("HTTP/1.1 200 OK\r\n{JSON}Content-Length: {}\r\n\r\n{body}", body.len())
        };
        stream.write_all(bytes.as_bytes()).is_ok()
    })
}

#[test]
fn each_form_of_an_answer_has_its_own_tag_and_it_comes_back_as_the_backends() {
    let backend = conditional();
    let gateway = Setup::new(&backend).policy(&policy()).start();
    let mut seen: Vec<String> = Vec::new();
    for role in ["clerk", "caseworker"] {
        let tags: Vec<String> = ["identity", "gzip", "br", "zstd"]
            .iter()
            .map(|accept| ask(&gateway, "GET", role, accept).field("etag").unwrap().to_owned())
            .collect();
        for tag in &tags {
            assert!(!seen.contains(tag), "{tag} twice");
            seen.push(tag.clone());
        }
        for (at, tag) in tags.iter().enumerate() {
            let asked = |fields: &str| gateway.call("GET", "/api/accounts/A1", &[role], fields, "");
            let answer = asked(&format!("Accept-Encoding: gzip\r\nIf-None-Match: {tag}\r\n"));
            // What would be answered now, or what is answered where it is small.
            let status = if at < 2 { 304 } else { 200 };
            assert_eq!(answer.status, status, "{role} {tag}");
            if status == 304 {
                assert_eq!(
                    answer.field("etag"),
                    Some(tag.as_str()),
                    "{role}: the one that the client holds"
                );
                assert!(
                    answer
                        .fields
                        .iter()
                        .any(|(name, value)| name == "vary" && value == "Accept-Encoding")
                );
            }
            asked(&format!("If-Match: {tag}\r\n"));
            assert_eq!(backend.last().field("if-match"), Some("\"abc\""), "{role} {tag}");
        }
    }
    // A tag of one view is none of another's.
    for tag in &seen[..4] {
        gateway.call(
            "GET",
            "/api/accounts/A1",
            &["caseworker"],
            &format!("If-Match: {tag}\r\n"),
            "",
        );
        assert_ne!(backend.last().field("if-match"), Some("\"abc\""), "{tag}");
    }
}

#[test]
fn an_answer_that_is_cut_has_no_end_in_its_coding_either() {
    let broken = format!("{}}}", rows(60_000, CANARY));
    let backend = backend(JSON, broken, false);
    let gateway = Setup::new(&backend).policy(&policy()).start();
    for (at, coding) in ["gzip", "br", "zstd"].into_iter().enumerate() {
        let answer = ask(&gateway, "GET", "clerk", coding);
        assert_eq!((answer.status, answer.whole), (200, false), "{coding}");
        assert!(decode(coding, &answer.body).is_err(), "{coding}: the stream has no end");
        assert_eq!(gateway.audit(at + 1)[at]["error"], "unmaskable_response", "{coding}");
    }
}

#[test]
fn a_slow_answer_arrives_as_it_is_made() {
    for coding in ["gzip", "br", "zstd"] {
        let (say, said) = channel::<()>();
        let said = Arc::new(Mutex::new(said));
        let backend = Backend::script(move |_, stream| {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
            stream.write_all(head.as_bytes()).unwrap();
            for at in 0..3 {
                let event = format!("data: {at}\n\n");
                write!(stream, "{:x}\r\n{event}\r\n", event.len()).unwrap();
                // The next one only once the client has this one.
                said.lock().unwrap().recv_timeout(DEADLINE).unwrap();
            }
            stream.write_all(b"0\r\n\r\n").is_ok()
        });
        let gateway = Setup::new(&backend).policy(&policy()).start();
        let token = gateway.token(&claims(&["caseworker"]));
        let mut client = Client::open(gateway.port);
        let fields = format!("Accept-Encoding: {coding}\r\n");
        client.write(&request("GET", "/api/accounts/A1", &token, &fields, ""));
        assert_eq!(client.head().field("content-encoding"), Some(coding));
        let mut coded = Vec::new();
        for at in 0..3 {
            let want: String = (0..=at).map(|at| format!("data: {at}\n\n")).collect();
            while so_far(coding, &coded) != want.as_bytes() {
                coded.extend_from_slice(&client.chunk().expect("the answer goes on"));
            }
            say.send(()).unwrap();
        }
        while let Some(chunk) = client.chunk() {
            coded.extend_from_slice(&chunk);
        }
        assert_eq!(
            decode(coding, &coded).unwrap(),
            b"data: 0\n\ndata: 1\n\ndata: 2\n\n",
            "{coding}"
        );
    }
}

/// What can be decoded of a stream that has not ended.
fn so_far(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut reader: Box<dyn Read> = match coding {
        "gzip" => Box::new(MultiGzDecoder::new(bytes)),
        "br" => Box::new(brotli::Decompressor::new(bytes, 4096)),
        _ => Box::new(zstd::stream::Decoder::new(bytes).unwrap()),
    };
    let (mut out, mut byte) = (Vec::new(), [0]);
    while matches!(reader.read(&mut byte), Ok(1)) {
        out.push(byte[0]);
    }
    out
}

#[test]
fn a_compressed_answer_takes_little_memory() {
    let backend = backend(JSON, rows(400_000, CANARY), true);
    let gateway = Setup::new(&backend).policy(&policy()).start();
    for coding in ["gzip", "br", "zstd"] {
        let answer = ask(&gateway, "GET", "clerk", coding);
        assert!(
            answer.whole && decode(coding, &answer.body).unwrap() == rows(400_000, "[REDACTED]").as_bytes(),
            "{coding}"
        );
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: usize = peak.trim().trim_end_matches(" kB").trim().parse().unwrap();
    assert!(peak < 48 * 1024, "{peak} KiB");
}

#[test]
fn http2_compresses_and_cuts_alike() {
    use http_body_util::BodyExt;
    let broken = format!("{}}}", rows(60_000, CANARY));
    let good = backend(JSON, rows(6000, CANARY), true);
    let bad = backend(JSON, broken, true);
    for (backend, whole) in [(&good, true), (&bad, false)] {
        let gateway = Setup::new(backend).policy(&policy()).start();
        let token = gateway.token(&claims(&["clerk"]));
        for coding in ["gzip", "identity"] {
            on_http2(&gateway, async |sender| {
                let request = http::Request::get("http://gw.example/api/accounts/A1")
                    .header("authorization", format!("Bearer {token}"))
                    .header("accept-encoding", coding)
                    .body(String::new())
                    .unwrap();
                let (head, mut body) = sender.clone().send_request(request).await.unwrap().into_parts();
                assert_eq!(head.headers.contains_key("content-encoding"), coding == "gzip");
                let (mut bytes, mut end) = (Vec::new(), None);
                while let Some(frame) = body.frame().await {
                    match frame {
                        Ok(frame) => bytes.extend_from_slice(&frame.into_data().unwrap()),
                        Err(fault) => {
                            end = Some(fault.to_string());
                            break;
                        }
                    }
                }
                assert!(!String::from_utf8_lossy(&bytes).contains(CANARY));
                if whole {
                    let text = if coding == "gzip" {
                        decode(coding, &bytes).unwrap()
                    } else {
                        bytes
                    };
                    assert!(end.is_none() && text == rows(6000, "[REDACTED]").as_bytes(), "{coding}");
                } else {
                    // RST_STREAM, and no END_STREAM before it.
                    assert!(end.is_some(), "{coding}: the stream is reset");
                    assert!(coding != "gzip" || decode(coding, &bytes).is_err());
                }
            });
        }
    }
}
