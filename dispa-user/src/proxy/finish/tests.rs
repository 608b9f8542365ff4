//! How the record of a body ends.

use std::{
    fmt,
    rc::Rc,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty, Full};
use tracing::{Event, Subscriber, field::Field, subscriber::DefaultGuard};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt as _},
};

use super::{Ending, Record, Recorded};
use crate::{
    life::stop_signal,
    proxy::serve::{Client, UnderWay},
};

/// The outcomes that are logged on the threads which collect them here.
#[derive(Clone, Debug, Default)]
pub(in crate::proxy) struct Outcomes(Arc<Mutex<Vec<String>>>);

impl Outcomes {
    pub(in crate::proxy) fn collect(&self) -> DefaultGuard {
        tracing::subscriber::set_default(tracing_subscriber::registry().with(self.clone()))
    }

    pub(in crate::proxy) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("no panic"))
    }
}

impl<S: Subscriber> Layer<S> for Outcomes {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        event.record(&mut self.clone());
    }
}

impl tracing::field::Visit for Outcomes {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "outcome" {
            self.0.lock().expect("no panic").push(value.to_owned());
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

fn record() -> Record {
    let (_, stopped) = stop_signal();
    let ending = Rc::new(Ending { stopped, ledger: Arc::default() });
    let address = "127.0.0.1:40000".parse().expect("an address");
    Record::exchange(&Client::explicit(address, None), &Request::new(()), &ending)
}

fn under_way() -> UnderWay {
    UnderWay::Http1(Rc::default())
}

#[test]
fn a_body_that_is_at_its_end_arrives_unasked() {
    let outcomes = Outcomes::default();
    let _collecting = outcomes.collect();
    drop(Recorded::new(Empty::<Bytes>::new(), record(), under_way()));
    drop(Recorded::new(Full::new(Bytes::new()), record(), under_way()));
    assert_eq!(outcomes.take(), ["ok", "ok"]);
}

#[tokio::test]
async fn a_body_of_known_length_has_arrived_with_its_last_byte() {
    let outcomes = Outcomes::default();
    let _collecting = outcomes.collect();
    let mut body = Recorded::new(Full::new(Bytes::from_static(b"text")), record(), under_way());
    assert!(body.frame().await.is_some());
    drop(body);
    assert_eq!(outcomes.take(), ["ok"]);
}
