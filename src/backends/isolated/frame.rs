//! Frames over a socket: four bytes of length, big endian, then JSON.

use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Longest frame; a request is at most as long as the gateway's own limit for bodies allows, which is far below.
const LONGEST: usize = 1 << 30;

/// Why a frame did not come or go.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The other side is gone.
    #[error("the socket broke off: {0}")]
    Socket(#[from] std::io::Error),
    /// It says something else.
    #[error("a frame is no message: {0}")]
    Words(#[from] serde_json::Error),
    /// It says too much.
    #[error("a frame of {0} bytes is too long")]
    TooLong(usize),
}

/// Reads a frame.
///
/// # Errors
/// The other side closed, or said what is no message.
///
/// # Cancel safety
/// None: a part of a frame may be lost.
pub(super) async fn read<T: DeserializeOwned>(socket: &mut (impl AsyncRead + Unpin)) -> Result<T, FrameError> {
    let length = socket.read_u32().await? as usize;
    if length > LONGEST {
        return Err(FrameError::TooLong(length));
    }
    let mut bytes = vec![0; length];
    socket.read_exact(&mut bytes).await?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// Writes a frame in one piece.
///
/// # Errors
/// The other side closed, or the message is too long.
///
/// # Cancel safety
/// None: a part of a frame may be written.
pub(super) async fn write(socket: &mut (impl AsyncWrite + Unpin), message: &impl Serialize) -> Result<(), FrameError> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message)?;
    let length = bytes.len() - 4;
    if length > LONGEST {
        return Err(FrameError::TooLong(length));
    }
    let head = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    for (place, byte) in bytes.iter_mut().zip(head) {
        *place = byte;
    }
    Ok(socket.write_all(&bytes).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_written_is_read() {
        let (mut here, mut there) = tokio::io::duplex(1 << 16);

        write(&mut here, &vec!["one", "zwei"]).await.unwrap();
        write(&mut here, &7).await.unwrap();
        drop(here);

        assert_eq!(read::<Vec<String>>(&mut there).await.unwrap(), ["one", "zwei"]);
        assert_eq!(read::<u8>(&mut there).await.unwrap(), 7);
        assert!(matches!(read::<u8>(&mut there).await, Err(FrameError::Socket(_))));
    }

    #[tokio::test]
    async fn nonsense_is_told_apart_from_silence() {
        let (mut here, mut there) = tokio::io::duplex(1 << 16);
        write(&mut here, &"text").await.unwrap();
        here.write_all(&u32::MAX.to_be_bytes()).await.unwrap();

        assert!(matches!(read::<u8>(&mut there).await, Err(FrameError::Words(_))));
        assert!(matches!(read::<u8>(&mut there).await, Err(FrameError::TooLong(_))));
    }
}
