//! Stands between the sink and a server, to lose what the server says or to break connections.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

#[derive(Default)]
struct Rules {
    /// What the server says is read and thrown away.
    deaf: AtomicBool,
    /// What the server says is not even read.
    held: Mutex<bool>,
    released: Condvar,
    connections: Mutex<Vec<TcpStream>>,
}

/// Listens until the test program ends.
pub struct Proxy {
    port: u16,
    rules: Arc<Rules>,
}

impl Proxy {
    /// In front of a port of this machine.
    pub fn start(server: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let rules = Arc::new(Rules::default());
        let of_proxy = Arc::clone(&rules);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // Nobody there: the client sees its connection closed.
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                let both = [client.try_clone().unwrap(), server.try_clone().unwrap()];
                of_proxy.connections.lock().unwrap().extend(both);
                pump(client.try_clone().unwrap(), server.try_clone().unwrap(), None);
                pump(server, client, Some(Arc::clone(&of_proxy)));
            }
        });
        Proxy { port, rules }
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Loses everything that the server says from now on.
    pub fn set_deaf(&self, deaf: bool) {
        self.rules.deaf.store(deaf, Ordering::SeqCst);
    }

    /// Stops to read what the server says.
    pub fn set_held(&self, held: bool) {
        *self.rules.held.lock().unwrap() = held;
        self.rules.released.notify_all();
    }

    /// Breaks all connections.
    pub fn cut(&self) {
        for connection in self.rules.connections.lock().unwrap().drain(..) {
            // It may be closed already.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

/// Moves bytes until one side closes, then closes the other.
fn pump(mut from: TcpStream, mut to: TcpStream, rules: Option<Arc<Rules>>) {
    thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        loop {
            if let Some(rules) = &rules {
                drop(rules.released.wait_while(rules.held.lock().unwrap(), |held| *held).unwrap());
            }
            let Ok(n) = from.read(&mut buffer) else { break };
            let deaf = rules.as_ref().is_some_and(|rules| rules.deaf.load(Ordering::SeqCst));
            if n == 0 || (!deaf && to.write_all(&buffer[..n]).is_err()) {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    });
}
