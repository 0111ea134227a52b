//! The endpoints under clients that mean them harm.

mod support;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use support::http::{address_in, get};
use support::program::{Running, start, weir};
use support::skip::{is_root, note};

/// Slow clients.
const SLOW: u64 = 10_000;
/// Descriptors that the test needs besides.
const OTHERS: u64 = 200;
/// More than weir serves at a time, by far.
const LEAST: usize = 500;

/// How many connections this process may hold.
fn connections_max() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(SLOW + OTHERS, |most| most.min(SLOW + OTHERS));
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum }).expect("within the limit");
    (wanted - OTHERS) as usize
}

/// One connection that has begun a request and does not end it.
fn slow(address: SocketAddr, n: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("weir listens");
    // Weir may have closed it already.
    let _ = stream.write_all(&b"GET /livez HTTP/1.1\r\nHost: w"[..n % 28]);
    stream
}

fn listening(scratch: &tempfile::TempDir) -> (Running, SocketAddr) {
    let line = ["run", "--listen", "127.0.0.1:0", "--status", "never", "--class", "process.exec", "--parquet", "data"];
    let mut weir = start(weir(&line).current_dir(scratch.path()));
    assert!(weir.wait_until_said("listening"), "{}", weir.stderr_so_far());
    let address = address_in(&weir.stderr_so_far());
    (weir, address)
}

#[test]
fn weir_is_alive_under_as_many_slow_clients_as_a_process_can_be() {
    if !is_root("slow clients") {
        return;
    }
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let (weir, address) = listening(&scratch);
    let most = connections_max();
    assert!(most > LEAST, "RLIMIT_NOFILE leaves {most} connections");
    let opened = AtomicUsize::new(0);
    let answers = thread::scope(|scope| {
        let clients = scope.spawn(|| {
            let connect = |n| {
                let stream = slow(address, n);
                opened.fetch_add(1, Ordering::Relaxed);
                stream
            };
            (0..most).map(connect).collect::<Vec<TcpStream>>()
        });
        let mut under = 0;
        while !clients.is_finished() {
            let before = opened.load(Ordering::Relaxed);
            assert_eq!(get(address, "/livez").code, 200, "with {before} slow clients");
            under += usize::from(before > LEAST);
        }
        let clients = clients.join().expect("all connect");
        assert_eq!(get(address, "/livez").code, 200, "with all {} slow clients", clients.len());
        assert_eq!(get(address, "/status").code, 200);
        under + 1
    });
    note(format_args!("{answers} answers under {LEAST} to {most} slow clients"));
    weir.signal(Signal::TERM);
    weir.wait().expect_code(0);
}
