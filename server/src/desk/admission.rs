//! Stands before the service: looks at who calls and what the call takes, and ends what is open once they are let in no more.
//!
//! Why before it and not in each method: a method that forgets to ask is still asked for.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use deskside_proto::v1::desk_server::DeskServer;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http_body::{Frame, SizeHint};
use prost::bytes::Bytes;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{BoxFuture as Answering, Service, http};
use tonic::server::NamedService;

use super::Desk;
use super::access::{self, Takes};
use crate::case::now_ms;
use crate::gateway::LineEnd;

/// Between two looks at whether one who has something open is still let in.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The service, and who may reach it.
#[derive(Clone)]
pub struct Admission {
    desk: Desk,
    service: DeskServer<Desk>,
}

impl Admission {
    pub(super) fn new(desk: Desk, service: DeskServer<Desk>) -> Self {
        Self { desk, service }
    }
}

impl NamedService for Admission {
    const NAME: &'static str = <DeskServer<Desk> as NamedService>::NAME;
}

impl Service<http::Request<Body>> for Admission {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answering<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let (desk, mut service) = (self.desk.clone(), self.service.clone());
        Box::pin(async move {
            let call = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
            if access::takes(&call) == Some(Takes::Nothing) {
                return service.call(request).await;
            }
            let peer =
                request.extensions().get::<LineEnd>().map(|end| end.address.ip().to_string()).unwrap_or_default();
            let caller = match desk.admit(&call, &peer, request.headers()).await {
                Ok(caller) => caller,
                Err(status) => return Ok(status.into_http()),
            };
            let credential = caller.credential.clone();
            request.extensions_mut().insert(caller);
            let answered = tokio::select! {
                answered = service.call(request) => answered?,
                status = shut_out(desk.clone(), credential.clone()) => return Ok(status.into_http()),
            };
            Ok(answered.map(|body| Body::new(Open { body, desk, credential, shut_out: None, ended: false })))
        })
    }
}

/// Pends while this credential lets in; then says why it does no more.
async fn shut_out(desk: Desk, credential: String) -> Status {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        // Why a store that cannot be read ends nothing: it says nothing about the technician.
        let known = desk.store.credential(&credential).await;
        if let Ok(Some(known)) = &known
            && known.expires_ms <= now_ms()
        {
            return Status::unauthenticated("your token's time is over; ask again, or log in again");
        }
        if let Ok(None) = known {
            return Status::unauthenticated(
                "this token was revoked; ask for a new one (deskside-server technician add NAME)",
            );
        }
    }
}

/// An answer that ends once the one who asked is let in no more.
struct Open {
    body: Body,
    desk: Desk,
    credential: String,
    /// Looked at from the first wait on: an answer that is there at once costs no look.
    shut_out: Option<BoxFuture<'static, Status>>,
    ended: bool,
}

impl http_body::Body for Open {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let open = self.get_mut();
        if open.ended {
            return Poll::Ready(None);
        }
        let shut_out = match &mut open.shut_out {
            Some(shut_out) => shut_out,
            None => match Pin::new(&mut open.body).poll_frame(context) {
                Poll::Ready(frame) => return Poll::Ready(frame),
                Poll::Pending => open.shut_out.insert(shut_out(open.desk.clone(), open.credential.clone()).boxed()),
            },
        };
        // Why looked at before the next piece: one who reads without a pause is shut out too.
        if let Poll::Ready(status) = shut_out.poll_unpin(context) {
            open.ended = true;
            let mut trailers = http::HeaderMap::new();
            return Poll::Ready(Some(status.add_header(&mut trailers).map(|()| Frame::trailers(trailers))));
        }
        Pin::new(&mut open.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
