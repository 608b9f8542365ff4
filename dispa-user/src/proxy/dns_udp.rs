//! DNS over UDP: a question goes to the resolver it was meant for, byte for byte; the answer comes
//! back the same way, once what it says of intercepted names is in the kernel's map.
//!
//! Every client socket has, for every resolver it asks, an upstream socket of its own: a flow.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    time::{Duration, Instant},
};

use dispa_common::DNS_PORT;
use socket2::SockRef;
use tokio::{
    io::Interest,
    net::UdpSocket,
    sync::Notify,
    task::coop::consume_budget,
    time::{sleep, timeout},
};

use super::{dns_waiting::Waiting, worker::Worker};
use crate::{
    dns::{InFlight, Question, lesson},
    kernel::SlotLease,
    life::Phase,
    metrics::{Metrics, Transport},
    net::{Datagram, DatagramDoor, datagram_socket},
    state::State,
};

/// The largest datagram there is.
const LARGEST: usize = 65_535;

/// How long a flow without traffic is kept. Most programs ask with a fresh socket each time.
const IDLE_LIMIT: Duration = Duration::from_secs(10);

/// How long questions under way may take once the daemon drains.
const DRAIN_LIMIT: Duration = Duration::from_secs(3);

/// Flows of one worker: each is a descriptor. One more takes the place of the one idle for longest.
const MOST_FLOWS: usize = 1024;

/// The pause after a read that failed, for want of memory say.
const BACK_OFF: Duration = Duration::from_millis(50);

/// A client socket and the resolver it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Ends {
    client: SocketAddr,
    slot: IpAddr,
}

#[derive(Debug)]
struct Flow {
    ends: Ends,
    upstream: UdpSocket,
    /// Questions for intercepted names.
    in_flight: RefCell<InFlight>,
    /// Questions of any kind, as far as answers can be told to be theirs.
    unanswered: Cell<u32>,
    /// When the last of them were asked.
    waiting: RefCell<Waiting>,
    last_used: Cell<Instant>,
    evicted: Notify,
    lease: SlotLease,
}

/// The relay of one worker and one family.
#[derive(Debug)]
struct Relay {
    door: DatagramDoor,
    flows: RefCell<HashMap<Ends, Rc<Flow>>>,
    worker: Rc<Worker>,
    /// Where answers are read into, one at a time: no task waits while it uses this.
    buffer: RefCell<Vec<u8>>,
}

/// Relays what arrives at `door`, for ever.
pub(super) async fn serve(door: DatagramDoor, worker: Rc<Worker>) {
    let relay = Rc::new(Relay {
        door,
        flows: RefCell::default(),
        worker,
        buffer: RefCell::new(vec![0; LARGEST]),
    });
    let mut buffer = vec![0; LARGEST];
    loop {
        match relay.door.receive(&mut buffer).await {
            Ok(datagram) => ask(&relay, datagram, &buffer[..datagram.length]),
            Err(error) => {
                tracing::warn!(%error, "cannot receive questions");
                sleep(BACK_OFF).await;
            }
        }
    }
}

/// Sends a question on. What cannot be sent is lost, as datagrams are; programs ask again.
fn ask(relay: &Rc<Relay>, datagram: Datagram, bytes: &[u8]) {
    let ends = Ends { client: datagram.client, slot: datagram.slot };
    let known = relay.flows.borrow().get(&ends).map(Rc::clone);
    let Some(flow) = known.or_else(|| open(relay, ends)) else { return };
    let now = Instant::now();
    flow.last_used.set(now);
    flow.unanswered.set(flow.unanswered.get().saturating_add(1));
    flow.waiting.borrow_mut().asked(bytes, now);
    metrics(relay).question(Transport::Udp);
    if let Some(question) = intercepted(bytes, &relay.worker.state()) {
        flow.in_flight.borrow_mut().asked(question, now);
    }
    if let Err(error) = send(&flow.upstream, bytes) {
        note_refusal(&flow, relay, &error);
    }
}

/// Straight to the socket: tokio does not yet know a fresh one to be writable. What a socket has
/// still to say of its last datagram is no reason not to send this one.
fn send(upstream: &UdpSocket, bytes: &[u8]) -> io::Result<usize> {
    let socket = SockRef::from(upstream);
    match socket.send(bytes) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => socket.send(bytes),
        sent => sent,
    }
}

/// The question of a query for an intercepted name; nothing else need be looked at again.
pub(super) fn intercepted(query: &[u8], state: &State) -> Option<Question> {
    let question = Question::of_query(query)?;
    (question.wants_addresses() && state.rules.find(&question.name).is_some()).then_some(question)
}

fn open(relay: &Rc<Relay>, ends: Ends) -> Option<Rc<Flow>> {
    let lease = relay.worker.interception.as_ref()?.arrived(ends.slot)?;
    if lease.destination().port() != DNS_PORT {
        // A socket older than what its slot stands for now.
        return None;
    }
    make_room(relay);
    let flow = match upstream(lease.destination(), &relay.worker) {
        Ok(upstream) => Rc::new(Flow {
            ends,
            upstream,
            in_flight: RefCell::default(),
            unanswered: Cell::new(0),
            waiting: RefCell::default(),
            last_used: Cell::new(Instant::now()),
            evicted: Notify::new(),
            lease,
        }),
        Err(error) => {
            note_no_socket(lease.destination(), relay, &error);
            return None;
        }
    };
    relay.flows.borrow_mut().insert(ends, Rc::clone(&flow));
    relay.worker.tasks.spawn(answer_all(Rc::clone(&flow), Rc::clone(relay)));
    Some(flow)
}

fn upstream(resolver: SocketAddr, worker: &Worker) -> io::Result<UdpSocket> {
    datagram_socket(resolver, |socket| worker.connections.mark(socket, 0))
}

/// Where there are too many flows, the one that has been idle for longest goes; one with a question
/// under way only if all have one.
fn make_room(relay: &Relay) {
    let mut flows = relay.flows.borrow_mut();
    if flows.len() < MOST_FLOWS {
        return;
    }
    let oldest =
        flows.values().min_by_key(|flow| (flow.unanswered.get() > 0, flow.last_used.get()));
    if let Some(ends) = oldest.map(|flow| flow.ends)
        && let Some(flow) = flows.remove(&ends)
    {
        flow.evicted.notify_one();
    }
}

/// Brings the answers of one flow back until it has been idle for long enough.
async fn answer_all(flow: Rc<Flow>, relay: Rc<Relay>) {
    let mut stopped = relay.worker.stopped.clone();
    tokio::select! {
        () = answer_until_idle(&flow, &relay) => {}
        () = flow.evicted.notified() => return,
        () = stopped.reached(Phase::Retiring) => {
            let rest = answer_while(&flow, &relay, || flow.unanswered.get() > 0);
            let _ = timeout(DRAIN_LIMIT, rest).await;
        }
    }
    relay.flows.borrow_mut().remove(&flow.ends);
}

async fn answer_until_idle(flow: &Flow, relay: &Relay) {
    while flow.last_used.get().elapsed() < IDLE_LIMIT {
        let _ = timeout(IDLE_LIMIT, answer_while(flow, relay, || true)).await;
    }
}

async fn answer_while(flow: &Flow, relay: &Relay, more: impl Fn() -> bool) {
    while more() {
        // Whoever floods us must not keep this thread from everything else.
        consume_budget().await;
        let Ok(ready) = flow.upstream.ready(Interest::READABLE | Interest::ERROR).await else {
            return;
        };
        let mut buffer = relay.buffer.borrow_mut();
        match flow.upstream.try_recv(&mut buffer) {
            Ok(length) => {
                flow.last_used.set(Instant::now());
                bring_back(flow, relay, &buffer[..length]);
            }
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                note_refusal(flow, relay, &error);
            }
            Err(_) if ready.is_error() => note_error(flow, relay),
            Err(_) => {}
        }
    }
}

/// Takes what the socket has to say, and waits for the next time it has.
fn note_error(flow: &Flow, relay: &Relay) {
    if let Ok(Some(error)) = flow.upstream.take_error() {
        note_refusal(flow, relay, &error);
    }
    let heard = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
    let _ = flow.upstream.try_io(Interest::ERROR, heard);
}

/// Releases an answer, after it has taught what it can.
fn bring_back(flow: &Flow, relay: &Relay, answer: &[u8]) {
    let now = Instant::now();
    flow.unanswered.set(flow.unanswered.get().saturating_sub(1));
    let asked = flow.in_flight.borrow_mut().answered(answer, now);
    if let Some(asked) = asked
        && let Some(lesson) = lesson(answer, &asked)
        && let Some(interception) = &relay.worker.interception
    {
        interception.learn(&lesson, now);
    }
    if let Err(error) = relay.door.send(answer, flow.ends.slot, flow.ends.client) {
        tracing::debug!(%error, client = %flow.ends.client, "an answer is lost");
    }
    if let Some(took) = flow.waiting.borrow_mut().answered(answer, Instant::now()) {
        metrics(relay).answer(took);
    }
}

fn metrics(relay: &Relay) -> &Metrics {
    &relay.worker.ending.ledger.metrics
}

/// A question was lost. If that is for want of descriptors or memory, all are better off without us
/// until it is over; else nobody can get there, and programs hear that from the host itself.
fn note_no_socket(resolver: SocketAddr, relay: &Relay, error: &io::Error) {
    tracing::debug!(%error, %resolver, "a question is lost");
    metrics(relay).question_lost();
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS) => {
            relay.worker.starve(error);
        }
        _ => leave_alone(resolver, relay),
    }
}

fn leave_alone(resolver: SocketAddr, relay: &Relay) {
    if let Some(interception) = &relay.worker.interception {
        interception.leave_alone(resolver, Instant::now());
    }
}

/// A question was lost. If that is because nobody listens, the program cannot be told through us, so
/// for a while it hears it from the resolver's host itself.
fn note_refusal(flow: &Flow, relay: &Relay, error: &io::Error) {
    let resolver = flow.lease.destination();
    tracing::debug!(%error, %resolver, "a question is lost");
    metrics(relay).question_lost();
    if error.kind() == io::ErrorKind::ConnectionRefused {
        leave_alone(resolver, relay);
    }
}
