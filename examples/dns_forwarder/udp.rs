//! Datagrams: receives until it would block, answers in place what can be, and gives the rest a greenlet each.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use iora::net::UdpSocket;

use crate::edns::{LONGEST_MESSAGE, Transport};
use crate::forwarder::{Forwarder, Response};

/// How long to pause after an error for which the client is not to blame.
const PAUSE: Duration = Duration::from_millis(10);

/// Answers what comes to the socket, until the greenlet is killed.
pub(crate) fn serve(forwarder: &Rc<Forwarder>, socket: &Rc<UdpSocket>) {
    let mut message = vec![0; LONGEST_MESSAGE];
    let mut out = Vec::new();
    loop {
        match socket.recv_from_at(&mut message) {
            Ok((length, client, asked_at)) => {
                let client = Client {
                    address: client,
                    asked_at,
                };
                answer(forwarder, socket, &message[..length], client, &mut out);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => iora::sleep(PAUSE),
        }
    }
}

/// Answers what the system has received already, and nothing more. Does not park to receive.
pub(crate) fn drain(forwarder: &Rc<Forwarder>, socket: &Rc<UdpSocket>) {
    let mut message = vec![0; LONGEST_MESSAGE];
    let mut out = Vec::new();
    if socket.set_nonblocking(true).is_err() {
        return;
    }
    while let Ok((length, client, asked_at)) = socket.recv_from_at(&mut message) {
        let client = Client {
            address: client,
            asked_at,
        };
        answer(forwarder, socket, &message[..length], client, &mut out);
    }
}

/// Who asked, and at which address of ours: the answer has to come from there.
#[derive(Clone, Copy)]
struct Client {
    /// Who asked.
    address: SocketAddr,
    /// Told only where the socket hears at all addresses.
    asked_at: Option<IpAddr>,
}

impl Client {
    /// Sends the answer. A client that cannot be reached asks again, or not: there is nobody to tell.
    fn answer(self, socket: &UdpSocket, message: &[u8]) {
        drop(socket.send_to_from(message, self.address, self.asked_at));
    }
}

/// Answers one datagram: at once, or later by a greenlet of its own.
fn answer(forwarder: &Rc<Forwarder>, socket: &Rc<UdpSocket>, message: &[u8], client: Client, out: &mut Vec<u8>) {
    out.clear();
    match forwarder.respond(message, Transport::Udp, out) {
        Response::Ready => client.answer(socket, out),
        Response::Silence => {}
        Response::Later(query, ticket) => {
            let (forwarder, socket) = (Rc::clone(forwarder), Rc::clone(socket));
            drop(iora::spawn(move || {
                let mut out = Vec::new();
                forwarder.resolve(&query, Transport::Udp, &mut out);
                client.answer(&socket, &out);
                drop(ticket);
            }));
        }
    }
}
