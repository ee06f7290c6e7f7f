//! Which connections of the pool are used again, against a server that counts them.

use std::io::Write;
use std::net::TcpListener;
use std::sync::mpsc::{self, Receiver};

use kotak_neo_testing::requests::read_request;

use super::*;
use crate::base::clock::shifted;
use crate::transport::{EventLoop, Proxy};

/// A server that answers whatever comes, each connection on a thread of its own, and
/// tells the number of the connection of every request. It never closes one.
fn serve() -> (u16, Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let port = listener.local_addr().expect("it is bound").port();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.expect("a client connects");
            let tell = tell.clone();
            std::thread::spawn(move || {
                while read_request(&mut stream).is_some() {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
                    if tell.send(number).is_err() || stream.write_all(answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (port, told)
}

#[test]
fn a_connection_from_before_a_sleep_is_not_used_again() {
    let (port, told) = serve();
    let settings = Settings::new(None, &Proxy::None, None, Duration::from_secs(30));
    let net = Net::new(Arc::new(settings.expect("no CA file")), Arc::default());
    let event_loop = EventLoop::new().expect("a loop can be had");
    let ask = || {
        let request = Request {
            method: Method::GET,
            url: Url::parse(&format!("http://127.0.0.1:{port}/limits")).expect("a URL"),
            headers: HeaderMap::new(),
            body: None,
            largest_answer: 1024,
        };
        let point = Point::default();
        let asked = event_loop.drive(net.send(request, &point, &Trace::default()));
        asked.expect("it is alive").expect("an answer");
        told.recv().expect("it was asked")
    };
    assert_eq!([ask(), ask()], [0, 0], "kept alive");
    {
        // The machine sleeps for an hour; the timers of tokio do not count that.
        let _later = shifted(0, 3_600_000);
        assert_eq!([ask(), ask()], [1, 1], "a new one, which is kept again");
    }
}
