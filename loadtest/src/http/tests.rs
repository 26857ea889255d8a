//! The HTTP client against scripted answers.

use std::thread;

use super::*;

fn scripted(answers: &'static [&'static str]) -> Http {
    let listener = sockets::listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut stream = BufReader::new(stream);
        for answer in answers {
            let mut length = 0;
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                if let Some(value) = line.strip_prefix("Content-Length: ") {
                    length = value.trim().parse().unwrap();
                }
                if line == "\r\n" {
                    break;
                }
            }
            stream.read_exact(&mut vec![0; length]).unwrap();
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
        }
    });
    Http::connect(address).unwrap()
}

#[test]
fn several_requests_share_one_connection() {
    let mut http = scripted(&[
        "HTTP/1.1 303 See Other\r\nSet-Cookie: a=1; Path=/\r\nset-cookie: b=2\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy",
    ]);
    let answer = http.post("/login", "text/plain", b"uid=x").unwrap();
    assert_eq!(answer.status, 303);
    assert_eq!(
        answer.headers("set-cookie").collect::<Vec<_>>(),
        ["a=1; Path=/", "b=2"]
    );
    assert_eq!(http.get("/").unwrap().body, b"abcde");
    assert_eq!(http.get("/").unwrap().status, 204);
    let answer = http.get("/readyz").unwrap();
    assert_eq!((answer.status, &answer.body[..]), (503, &b"busy"[..]));
}

#[test]
fn broken_answers_are_errors() {
    for answer in [
        "SSH-2.0-x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let answers: &'static [&'static str] = Box::leak(Box::new([answer]));
        assert!(scripted(answers).get("/").is_err(), "{answer:?}");
    }
}
