//! Reads the arguments of a pickle's opcodes. Every length is compared with the bytes that are left before anything is
//! taken.

use super::error::WeightsError;

/// The bytes of a pickle from the next opcode on.
pub struct PickleBytes<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> PickleBytes<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Number of bytes read.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The next `n` bytes.
    ///
    /// # Errors
    ///
    /// If there are fewer.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], WeightsError> {
        let left = &self.bytes[self.at..];
        let Some(taken) = left.get(..n) else {
            let problem = format!(
                "its pickle claims {n} bytes at offset {}, but only {} are left",
                self.at,
                left.len()
            );
            return Err(WeightsError::damaged(problem));
        };
        self.at += n;
        Ok(taken)
    }

    /// As many bytes as a count of `width` bytes says, which precedes them.
    ///
    /// # Errors
    ///
    /// If there are fewer.
    pub fn counted(&mut self, width: usize) -> Result<&'a [u8], WeightsError> {
        let n = self.unsigned(width)?;
        self.take(usize::try_from(n).unwrap_or(usize::MAX))
    }

    /// A little-endian number of `width` bytes, at most eight.
    ///
    /// # Errors
    ///
    /// If there are fewer bytes.
    pub fn unsigned(&mut self, width: usize) -> Result<u64, WeightsError> {
        let mut whole = [0; 8];
        whole[..width].copy_from_slice(self.take(width)?);
        Ok(u64::from_le_bytes(whole))
    }

    /// One byte.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn byte(&mut self) -> Result<u8, WeightsError> {
        Ok(self.take(1)?[0])
    }

    /// The bytes up to the next line feed, which is skipped.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn line(&mut self) -> Result<&'a [u8], WeightsError> {
        let left = &self.bytes[self.at..];
        let Some(n) = left.iter().position(|&byte| byte == b'\n') else {
            return Err(WeightsError::damaged("its pickle ends in the middle of a line"));
        };
        self.at += n + 1;
        Ok(&left[..n])
    }
}

/// UTF-8 text.
///
/// # Errors
///
/// If it is not.
pub fn utf8(bytes: &[u8]) -> Result<&str, WeightsError> {
    std::str::from_utf8(bytes)
        .map_err(|_| WeightsError::damaged("a text in its pickle is not UTF-8"))
}

/// A whole number in two's complement, little-endian; `None` if it has more than 64 bits.
pub fn signed(bytes: &[u8]) -> Option<i64> {
    if bytes.len() > 8 {
        return None;
    }
    let is_negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut whole = if is_negative { [0xff; 8] } else { [0; 8] };
    whole[..bytes.len()].copy_from_slice(bytes);
    Some(i64::from_le_bytes(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_width_are_read() {
        assert_eq!(signed(&[]), Some(0));
        assert_eq!(signed(&[0xff]), Some(-1));
        assert_eq!(signed(&[0xff, 0]), Some(255));
        assert_eq!(signed(&i64::MIN.to_le_bytes()), Some(i64::MIN));
        assert_eq!(signed(&[1; 9]), None);
        let mut bytes = PickleBytes::new(&[1, 2, 3]);
        assert_eq!(bytes.unsigned(2).unwrap(), 0x0201);
        assert!(bytes.take(2).unwrap_err().to_string().contains("only 1 are left"));
    }
}
