//! Messages between collector and helper: JSON over a socket that keeps their bounds, each with at most one descriptor.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

/// Bytes of a message; what is longer comes as a descriptor.
const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Bytes of a text of an error.
pub const ERROR_BYTES_MAX: usize = 16 << 10;

/// One message.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "lowercase")]
pub enum Message {
    /// To the helper: read the configuration again.
    Read,
    /// The text of the configuration's file is in the descriptor.
    Config,
    /// A file that the configuration names is the descriptor.
    File {
        /// As it is named.
        path: PathBuf,
    },
    /// That was all.
    Done,
    /// It was not done.
    Failed {
        /// Why not.
        error: String,
    },
}

/// Sends a message.
///
/// # Errors
/// The other end is gone, or the message is too long.
pub fn send(socket: BorrowedFd<'_>, message: &Message, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(io::Error::other(format!(
            "a message has {} bytes, and {MESSAGE_BYTES_MAX} are the limit",
            bytes.len()
        )));
    }
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors: Vec<BorrowedFd<'_>> = descriptor.into_iter().collect();
    if !descriptors.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    }
    sendmsg(socket, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives a message; `None` when the other end is gone.
///
/// # Errors
/// It is none, is too long, or does not come in time.
pub fn receive(socket: impl AsFd) -> io::Result<Option<(Message, Option<OwnedFd>)>> {
    let mut bytes = vec![0; MESSAGE_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut parts = [IoSliceMut::new(&mut bytes)];
        match recvmsg(&socket, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other?,
        }
    };
    if received.bytes == 0 {
        return Ok(None);
    }
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::Error::other("a message of the helper is too long"));
    }
    let mut descriptors = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    let descriptor = descriptors.next();
    Ok(Some((serde_json::from_slice(&bytes[..received.bytes])?, descriptor)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Seek, Write};

    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    #[test]
    fn a_message_comes_whole_with_its_descriptor_and_a_long_one_not_at_all() {
        let (one, two) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).expect("a pair");
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"text").and_then(|()| file.rewind()).expect("written");
        let message = Message::File { path: "/a b".into() };
        send(one.as_fd(), &message, Some(file.as_fd())).expect("sent");
        send(one.as_fd(), &Message::Done, None).expect("sent");
        let (found, descriptor) = receive(&two).expect("received").expect("a message");
        assert_eq!(found, message);
        let mut text = String::new();
        File::from(descriptor.expect("with it")).read_to_string(&mut text).expect("readable");
        assert_eq!(text, "text");
        assert_eq!(receive(&two).expect("received").map(|(m, fd)| (m, fd.is_none())), Some((Message::Done, true)));
        let long = Message::Failed { error: "x".repeat(MESSAGE_BYTES_MAX) };
        assert!(send(one.as_fd(), &long, None).is_err());
        rustix::net::send(&one, b"{}", SendFlags::NOSIGNAL).expect("sent");
        assert!(receive(&two).is_err(), "no message");
        drop(one);
        assert!(receive(&two).expect("the end").is_none());
    }
}
