//! Messages as they come: how long they say they are, and whether their parts fill them. The library that takes them apart
//! trusts what they say.

/// Bytes before a message's body: its kind, and its length with itself.
const HEADER_BYTES: usize = 5;
const LENGTH_BYTES: usize = 4;

/// The first message that is being read.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// There is less than a header.
    Unknown,
    /// The message is not whole yet, and says that it has so many bytes.
    Announced(usize),
    Whole,
    /// The message is not what it says.
    Broken,
}

impl Frame {
    /// Looks at the first message of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let Some((&[kind, a, b, c, d], rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Self::Unknown;
        };
        let length = usize::try_from(i32::from_be_bytes([a, b, c, d])).ok();
        let Some(body_length) = length.and_then(|length| length.checked_sub(LENGTH_BYTES)) else {
            return Self::Broken;
        };
        match rest.get(..body_length) {
            None => Self::Announced(body_length + LENGTH_BYTES),
            Some(body) if is_filled(kind, body) => Self::Whole,
            Some(_) => Self::Broken,
        }
    }
}

/// Returns true if the parts of a message fill its body, no more and no less
/// (<https://www.postgresql.org/docs/current/protocol-message-formats.html>).
fn is_filled(kind: u8, body: &[u8]) -> bool {
    let mut body = Body(body);
    let taken = match kind {
        b'B' => body.bind(),
        b'C' | b'D' => body.skip(1).and_then(|()| body.text()),
        b'E' => body.text().and_then(|()| body.skip(4)),
        b'P' => body.text().and_then(|()| body.text()).and_then(|()| body.list(4)),
        b'Q' | b'f' => body.text(),
        b'H' | b'S' | b'X' | b'c' => Some(()),
        // A password or data: any bytes. The library refuses kinds that it does not know.
        _ => return true,
    };
    taken.is_some() && body.0.is_empty()
}

/// The rest of a message. A method returns `None` if the message ends before a part does.
struct Body<'a>(&'a [u8]);

impl Body<'_> {
    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.0 = self.0.get(bytes..)?;
        Some(())
    }

    /// Text up to a zero.
    fn text(&mut self) -> Option<()> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        self.skip(end + 1)
    }

    fn count(&mut self) -> Option<usize> {
        let (count, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(usize::from(u16::from_be_bytes(*count)))
    }

    /// A count, and so many items of a size.
    fn list(&mut self, item_bytes: usize) -> Option<()> {
        let count = self.count()?;
        self.skip(count * item_bytes)
    }

    fn bind(&mut self) -> Option<()> {
        self.text()?;
        self.text()?;
        self.list(2)?;
        for _ in 0..self.count()? {
            let (length, rest) = self.0.split_first_chunk()?;
            self.0 = rest;
            // A negative length is a null, which has no bytes.
            self.skip(usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0))?;
        }
        self.list(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + LENGTH_BYTES).unwrap().to_be_bytes();
        [&[kind], &length[..], body].concat()
    }

    #[test]
    fn messages_that_their_parts_fill_are_whole() {
        for (kind, body) in [
            (b'Q', &b"select 1\0"[..]),
            (b'P', b"s\0select $1\0\0\x01\0\0\0\x17"),
            (b'B', b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x01x\xff\xff\xff\xff\0\x01\0\0"),
            (b'D', b"Ss\0"),
            (b'E', b"p\0\0\0\0\0"),
            (b'S', b""),
            (b'p', b"any\0thing"),
        ] {
            let whole = message(kind, body);
            assert_eq!(Frame::of(&whole), Frame::Whole, "{}", kind as char);
            assert_eq!(Frame::of(&[&whole[..], b"Qmore"].concat()), Frame::Whole);
            if kind != b'p' {
                let longer = message(kind, &[body, b"\0"].concat());
                assert_eq!(Frame::of(&longer), Frame::Broken, "{}", kind as char);
            }
            for cut in HEADER_BYTES..whole.len() {
                assert_eq!(Frame::of(&whole[..cut]), Frame::Announced(body.len() + LENGTH_BYTES));
                // The same bytes, if they say that they are all.
                let short = message(kind, &whole[HEADER_BYTES..cut]);
                assert!(kind == b'p' || Frame::of(&short) == Frame::Broken, "{} {cut}", kind as char);
            }
        }
    }

    #[test]
    fn lengths_that_cannot_be_are_broken() {
        assert_eq!(Frame::of(b"Q\0\0\0"), Frame::Unknown);
        assert_eq!(Frame::of(b"Q\0\0\0\x03"), Frame::Broken);
        assert_eq!(Frame::of(b"Q\xff\xff\xff\xff"), Frame::Broken);
        assert_eq!(Frame::of(b"Q\x7f\xff\xff\xff"), Frame::Announced(i32::MAX as usize));
        assert_eq!(Frame::of(&message(b'B', b"p\0s\0\0\0\0\x01\x7f\xff\xff\xff")), Frame::Broken);
    }
}
