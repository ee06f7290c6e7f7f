//! Packets of the market feed.

use serde_json::Value;

use crate::fixtures::sample;

/// The documented packets: name, bytes in hex, and what they mean.
///
/// # Panics
///
/// If the fixture is not what it should be.
pub fn vectors() -> Vec<Value> {
    serde_json::from_str(&sample("feed_packets")).expect("the vectors are JSON")
}

/// The bytes of a documented packet.
///
/// # Panics
///
/// If the fixture is not what it should be.
pub fn bytes_of(vector: &Value) -> Vec<u8> {
    let hex = vector["hex"].as_str().expect("each vector has bytes");
    data_encoding::HEXLOWER
        .decode(hex.as_bytes())
        .expect("they are in hex")
}

/// A mini touch line of `token` in nse_cm with a price in paise.
pub fn lite(token: u32, price: u32) -> Vec<u8> {
    let mut bytes = vec![0; 54];
    bytes[..2].copy_from_slice(&54_u16.to_le_bytes());
    bytes[4] = 1;
    bytes[5] = 1;
    bytes[9..13].copy_from_slice(&token.to_le_bytes());
    bytes[21..25].copy_from_slice(&price.to_le_bytes());
    bytes
}
