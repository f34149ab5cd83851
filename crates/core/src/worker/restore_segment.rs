//! Loads the data files of one host: read, unpack, find the COPY blocks, send the rows to the server, count.
//!
//! (Being built: the types below are the protocol's.)

use serde::{Deserialize, Serialize};

/// What all files of a host need to know.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RestoreStart {}

/// What a restore answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum RestoreEvent {}

/// Runs the loading of all files of this host.
pub async fn run(
    _start: RestoreStart,
    _login: &crate::db::connect::Login,
    _events: &tokio::sync::mpsc::Sender<super::protocol::Event>,
    _cancel: tokio_util::sync::CancellationToken,
) {
}
