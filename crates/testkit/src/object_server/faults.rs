//! What goes wrong between a client and a storage.

use std::io::Write;
use std::net::Shutdown;
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

use super::Wire;
use super::http::{Request, Response};

/// How long a server that hangs keeps the connection.
const HANG: Duration = Duration::from_secs(120);

/// Something that goes wrong.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// The first request that it happens to, of those that it can happen to, from 1 on.
    pub first: usize,
    /// How many in a row.
    pub count: usize,
    pub kind: FaultKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// Status 408.
    RequestTimeout,
    /// Status 500.
    InternalError,
    /// Status 503 with `SlowDown`.
    SlowDown,
    /// Status 429, without a body.
    TooMany,
    /// Status 403: no second try helps.
    Denied,
    /// The connection is reset before the request is looked at.
    Reset,
    /// The request is done, and the connection is reset before the answer.
    LostAnswer,
    /// The answer ends in the middle of its body.
    ShortBody,
    /// Status 200 with an error as its body.
    ErrorInside,
    /// No answer.
    Hang,
    /// No answer to a part of an upload.
    HangPart,
}

impl FaultKind {
    /// Kinds that a second try gets over.
    pub const PASSING: [FaultKind; 9] = [
        FaultKind::RequestTimeout,
        FaultKind::InternalError,
        FaultKind::SlowDown,
        FaultKind::TooMany,
        FaultKind::Reset,
        FaultKind::LostAnswer,
        FaultKind::ShortBody,
        FaultKind::ErrorInside,
        FaultKind::Hang,
    ];

    /// Kinds that happen to some requests only are counted by those.
    fn is_possible(self, request: &Request) -> bool {
        match self {
            // Nothing but the answer to a completion begins before the work does.
            FaultKind::ErrorInside => request.method == "POST" && request.target.contains("uploadId="),
            FaultKind::HangPart => request.target.contains("partNumber="),
            _ => true,
        }
    }

    /// A body of nothing has no middle to end in.
    pub(super) fn changes(self, request: &Request, response: &Response) -> bool {
        self != FaultKind::ShortBody || response.body.len() > 1 && request.method != "HEAD"
    }

    /// The answer in place of the true one.
    pub(super) fn instead(self) -> Option<Response> {
        match self {
            FaultKind::RequestTimeout => Some(Response::error(408, "RequestTimeout", "Your socket was idle.")),
            FaultKind::InternalError => Some(Response::error(
                500,
                "InternalError",
                "We encountered an internal error.",
            )),
            FaultKind::SlowDown => Some(Response::error(503, "SlowDown", "Please reduce your request rate.")),
            FaultKind::TooMany => Some(Response::new(429, "")),
            FaultKind::Denied => Some(Response::error(403, "AccessDenied", "Access Denied")),
            FaultKind::ErrorInside => Some(Response::error(
                200,
                "InternalError",
                "We encountered an internal error.",
            )),
            FaultKind::Reset | FaultKind::Hang | FaultKind::HangPart => Some(Response::new(0, "")),
            FaultKind::LostAnswer | FaultKind::ShortBody => None,
        }
    }
}

impl Fault {
    /// The n-th request and no other.
    pub fn once(first: usize, kind: FaultKind) -> Fault {
        Fault { first, count: 1, kind }
    }

    /// From the n-th request on.
    pub fn from(first: usize, kind: FaultKind) -> Fault {
        let count = usize::MAX - first;
        Fault { first, count, kind }
    }

    /// What happens to this request. `seen` counts those that this kind could happen to.
    pub(super) fn strikes(&self, seen: &mut usize, request: &Request) -> Option<FaultKind> {
        if !self.kind.is_possible(request) {
            return None;
        }
        *seen += 1;
        (*seen >= self.first && *seen - self.first < self.count).then_some(self.kind)
    }
}

/// False when the connection is over.
pub(super) fn send(wire: &mut impl Wire, response: &Response, kind: Option<FaultKind>) -> bool {
    match kind {
        Some(FaultKind::Reset | FaultKind::LostAnswer) => {
            // No time to linger: the other side gets a reset and no orderly end.
            let _ = set_socket_linger(wire.socket(), Some(Duration::ZERO));
            false
        }
        Some(FaultKind::Hang | FaultKind::HangPart) => {
            thread::sleep(HANG);
            false
        }
        Some(FaultKind::ShortBody) => {
            let _ = response.write(&mut *wire, Some(response.body.len() / 2));
            let _ = wire.socket().shutdown(Shutdown::Both);
            false
        }
        _ => {
            let mut out = std::io::BufWriter::new(wire);
            response.write(&mut out, None).and_then(|()| out.flush()).is_ok()
        }
    }
}
