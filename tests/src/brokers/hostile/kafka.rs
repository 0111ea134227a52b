//! The protocol of Kafka, as far as a producer asks.

use std::io;

use super::{Chance, Peer};

/// Requests that are larger are not read.
const REQUEST_BYTES_MAX: usize = 16 << 20;

const PRODUCE: i16 = 0;
const METADATA: i16 = 3;
const API_VERSIONS: i16 = 18;
const INIT_PRODUCER_ID: i16 = 22;

struct Request {
    api: i16,
    version: i16,
    correlation: [u8; 4],
    body: Vec<u8>,
}

fn request(peer: &mut Peer<'_>) -> io::Result<Request> {
    let torn = || io::Error::from(io::ErrorKind::InvalidData);
    let mut length = [0; 4];
    peer.read_exact(&mut length)?;
    let length = usize::try_from(i32::from_be_bytes(length)).ok().filter(|length| *length <= REQUEST_BYTES_MAX);
    let mut bytes = vec![0; length.ok_or_else(torn)?];
    peer.read_exact(&mut bytes)?;
    let mut fields = Fields(&bytes);
    let (api, version, correlation) = (fields.i16(), fields.i16(), fields.take(4));
    let client = fields.i16().map_or(0, |length| usize::try_from(length).unwrap_or(0));
    fields.take(client);
    let correlation = correlation.and_then(|bytes| bytes.try_into().ok());
    let head = api.zip(version).zip(correlation).ok_or_else(torn)?;
    let ((api, version), correlation) = head;
    Ok(Request { api, version, correlation, body: fields.0.to_vec() })
}

/// Reads what a client wrote.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn i16(&mut self) -> Option<i16> {
        self.take(2)?.try_into().ok().map(i16::from_be_bytes)
    }

    fn i32(&mut self) -> Option<i32> {
        self.take(4)?.try_into().ok().map(i32::from_be_bytes)
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.i16()?).ok()?;
        self.take(length)
    }
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend((text.len() as i16).to_be_bytes());
    out.extend(text);
}

fn send(peer: &mut Peer<'_>, correlation: [u8; 4], body: &[u8]) -> io::Result<()> {
    let mut bytes = ((body.len() + 4) as i32).to_be_bytes().to_vec();
    bytes.extend(correlation);
    bytes.extend(body);
    peer.write_all(&bytes)
}

/// Every question is answered by 16 bytes: no error, no array, no delay, no tags.
pub fn null_array(peer: &mut Peer<'_>) -> io::Result<()> {
    loop {
        let Request { correlation, .. } = request(peer)?;
        send(peer, correlation, &[0, 0, 0, 0, 0, 0, 0, 0])?;
    }
}

/// A broker, as long as chance lets it.
pub fn nonsense(peer: &mut Peer<'_>, chance: &mut Chance) -> io::Result<()> {
    loop {
        let asked = request(peer)?;
        let port = peer.stream.local_addr()?.port();
        let mut body = answer(&asked, port).unwrap_or_default();
        // The first handshakes often go well, so that the later ones are reached.
        let spoils = if asked.api == API_VERSIONS { chance.below(4) == 0 } else { chance.below(3) > 0 };
        if spoils {
            chance.spoil(&mut body);
        }
        if chance.below(40) == 0 {
            let lie = [i32::MAX, -1, 0, 3][chance.below(4)].to_be_bytes();
            peer.write_all(&lie)?;
        }
        send(peer, asked.correlation, &body)?;
    }
}

/// What a broker with these versions says.
fn answer(asked: &Request, port: u16) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match asked.api {
        API_VERSIONS => api_versions(&mut out, asked.version),
        METADATA => metadata(&mut out, &asked.body, port)?,
        INIT_PRODUCER_ID => {
            out.extend([0; 6]); // no delay, no error
            out.extend(7_i64.to_be_bytes());
            out.extend(0_i16.to_be_bytes());
        }
        PRODUCE => produce(&mut out, &asked.body)?,
        _ => return None,
    }
    Some(out)
}

fn api_versions(out: &mut Vec<u8>, version: i16) {
    let apis: &[(i16, i16, i16)] = &[(PRODUCE, 3, 3), (METADATA, 1, 1), (API_VERSIONS, 0, 3), (INIT_PRODUCER_ID, 0, 0)];
    out.extend([0, 0]);
    let is_flexible = version >= 3;
    if is_flexible {
        out.push(apis.len() as u8 + 1)
    } else {
        out.extend((apis.len() as i32).to_be_bytes())
    }
    for (api, least, most) in apis {
        [api, least, most].into_iter().for_each(|number| out.extend(number.to_be_bytes()));
        out.extend([0].iter().filter(|_| is_flexible));
    }
    if version >= 1 {
        out.extend([0; 4]);
    }
    out.extend([0].iter().filter(|_| is_flexible));
}

fn metadata(out: &mut Vec<u8>, body: &[u8], port: u16) -> Option<()> {
    let mut fields = Fields(body);
    let topics = fields.i32()?.clamp(0, 100);
    out.extend(1_i32.to_be_bytes());
    out.extend(1_i32.to_be_bytes()); // the broker's id
    put_text(out, b"127.0.0.1");
    out.extend(i32::from(port).to_be_bytes());
    out.extend((-1_i16).to_be_bytes());
    out.extend(1_i32.to_be_bytes()); // the controller
    out.extend(topics.to_be_bytes());
    for _ in 0..topics {
        out.extend([0, 0]);
        put_text(out, fields.text()?);
        out.push(0);
        out.extend(1_i32.to_be_bytes()); // partitions
        out.extend([0, 0]);
        [0, 1, 1, 1, 1, 1].into_iter().for_each(|number: i32| out.extend(number.to_be_bytes()));
    }
    Some(())
}

fn produce(out: &mut Vec<u8>, body: &[u8]) -> Option<()> {
    let mut fields = Fields(body);
    let id = fields.i16()?;
    fields.take(usize::try_from(id).unwrap_or(0))?;
    fields.take(6)?;
    let topics = fields.i32()?.clamp(0, 100);
    out.extend(topics.to_be_bytes());
    for _ in 0..topics {
        put_text(out, fields.text()?);
        let partitions = fields.i32()?.clamp(0, 100);
        out.extend(partitions.to_be_bytes());
        for _ in 0..partitions {
            out.extend(fields.i32()?.to_be_bytes());
            let records = usize::try_from(fields.i32()?).ok()?;
            fields.take(records)?;
            out.extend([0; 2]);
            out.extend(0_i64.to_be_bytes());
            out.extend((-1_i64).to_be_bytes());
        }
    }
    out.extend([0; 4]);
    Some(())
}
