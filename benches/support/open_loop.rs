//! Load at a given rate, whether it is answered or not.
//!
//! A generator that waits for an answer before it asks again asks less just when a proxy is slow, and leaves out the
//! latencies that matter (coordinated omission). Here every request has its time beforehand, drawn as users come (a
//! Poisson process, seeded), and its latency counts from that time. What finds no free connection waits its turn, and
//! the wait is a part of its latency, as it would be for the user.
//!
//! One thread with `poll` in nanoseconds: timers of a runtime have milliseconds. How late it sends by itself is
//! reported ([`Outcome::late`]).

#![allow(dead_code, reason = "each bench uses a part of it")]

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::set_current_timer_slack;

use super::answer::any;

/// Kept-alive connections.
const CONNECTIONS: usize = 64;

/// How long answers are waited for after the last request was due.
const GRACE: Duration = Duration::from_secs(2);

/// Who is asked, and what: each request in turn.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) requests: Vec<String>,
}

/// When requests are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// A second.
    pub(crate) rate: f64,
    /// For so long.
    pub(crate) time: Duration,
    /// Of when they come.
    pub(crate) seed: u64,
}

/// An answered request. Times are seconds since the start.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// When it was due.
    pub(crate) due: f64,
    /// How long after that its answer was there.
    pub(crate) took: f64,
    /// Whether it came from v1.
    pub(crate) first_version: bool,
}

/// What became of them.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) replies: Vec<Reply>,
    /// Connections that broke under a request, and answers other than 200.
    pub(crate) failed: usize,
    /// Connections that the other side closed while they were idle.
    pub(crate) closed: usize,
    /// Requests that had no answer at the end.
    pub(crate) unanswered: usize,
    /// Seconds between the time that a request was due and the time that it was sent.
    pub(crate) late: Vec<f64>,
}

/// Runs a plan from now on, in a thread of its own.
///
/// # Errors
/// Nothing listens there.
pub(crate) fn run(target: Target, plan: Plan, start: Instant) -> Result<Outcome, String> {
    // The precision of timers belongs to a thread, and whatever it starts.
    let thread = std::thread::spawn(move || {
        set_current_timer_slack(NonZeroU64::new(1)).ok();
        let mut driver = Driver::connect(target, start)?;
        driver.drive(&due_times(plan))?;
        Ok(driver.outcome)
    });
    thread.join().unwrap()
}

/// When requests are due, in seconds since the start.
fn due_times(plan: Plan) -> VecDeque<f64> {
    let (mut random, mut at, mut times) = (StdRng::seed_from_u64(plan.seed), 0.0, VecDeque::new());
    loop {
        // 1 - [0, 1) is never 0.
        at -= (1.0 - random.random::<f64>()).ln() / plan.rate;
        if at > plan.time.as_secs_f64() {
            return times;
        }
        times.push_back(at);
    }
}

struct Connection {
    stream: TcpStream,
    /// When the request was due that is on it.
    due: Option<f64>,
    received: Vec<u8>,
}

struct Driver {
    target: Target,
    start: Instant,
    connections: Vec<Connection>,
    /// Those without a request; all of them have their turn.
    idle: VecDeque<usize>,
    sent: usize,
    outcome: Outcome,
}

impl Driver {
    fn connect(target: Target, start: Instant) -> Result<Self, String> {
        let connections = (0..CONNECTIONS).map(|_| connect(target.address)).collect::<Result<_, _>>()?;
        Ok(Self { target, start, connections, idle: (0..CONNECTIONS).collect(), sent: 0, outcome: Outcome::default() })
    }

    /// Sends what is due, reads what has come, and sleeps until the next of both.
    fn drive(&mut self, due: &VecDeque<f64>) -> Result<(), String> {
        let mut due = due.clone();
        let deadline = due.back().copied().unwrap_or(0.0) + GRACE.as_secs_f64();
        loop {
            let now = self.now();
            while due.front().is_some_and(|at| *at <= now) && !self.idle.is_empty() {
                self.send(due.pop_front().unwrap_or_default())?;
            }
            let busy = self.connections.len() - self.idle.len();
            if now > deadline || (due.is_empty() && busy == 0) {
                self.outcome.unanswered = due.len() + busy;
                return Ok(());
            }
            // With all connections busy only an answer helps.
            let next = if self.idle.is_empty() { deadline } else { due.front().copied().unwrap_or(deadline) };
            for ready in self.wait(next)? {
                self.receive(ready)?;
            }
        }
    }

    fn now(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    fn send(&mut self, due: f64) -> Result<(), String> {
        let Some(index) = self.idle.pop_front() else { return Ok(()) };
        self.outcome.late.push(self.now() - due);
        let request = &self.target.requests[self.sent % self.target.requests.len()];
        self.sent += 1;
        let connection = &mut self.connections[index];
        connection.due = Some(due);
        match connection.stream.write_all(request.as_bytes()) {
            Ok(()) => Ok(()),
            Err(_) => self.lost(index),
        }
    }

    /// The connections from which there is something to read.
    fn wait(&self, until: f64) -> Result<Vec<usize>, String> {
        let mut polled: Vec<_> =
            self.connections.iter().map(|connection| PollFd::new(&connection.stream, PollFlags::IN)).collect();
        let time = Duration::from_secs_f64((until - self.now()).max(0.0));
        let time = Timespec::try_from(time).map_err(|error| error.to_string())?;
        poll(&mut polled, Some(&time)).map_err(|error| format!("poll: {error}"))?;
        Ok(polled.iter().enumerate().filter(|(_, fd)| !fd.revents().is_empty()).map(|(index, _)| index).collect())
    }

    fn receive(&mut self, index: usize) -> Result<(), String> {
        let connection = &mut self.connections[index];
        let mut buffer = [0; 4096];
        match connection.stream.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Ok(count) if count > 0 => connection.received.extend_from_slice(&buffer[..count]),
            _ => return self.lost(index),
        }
        // An answer of the proxy's own is a failure, like none.
        let answer = match any(&connection.received) {
            Ok(None) => return Ok(()),
            Ok(Some(answer)) if answer.status == 200 && answer.bytes == connection.received.len() => answer,
            _ => return self.lost(index),
        };
        connection.received.clear();
        let due = connection.due.take();
        self.idle.push_back(index);
        if let Some(due) = due {
            let took = self.now() - due;
            self.outcome.replies.push(Reply { due, took, first_version: answer.version == "v1" });
        }
        Ok(())
    }

    /// A connection is of no more use; another takes its place.
    fn lost(&mut self, index: usize) -> Result<(), String> {
        let lost = std::mem::replace(&mut self.connections[index], connect(self.target.address)?);
        if lost.due.is_some() {
            self.outcome.failed += 1;
            self.idle.push_back(index);
        } else {
            self.outcome.closed += 1;
        }
        Ok(())
    }
}

fn connect(address: SocketAddr) -> Result<Connection, String> {
    let connect = || {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Connection { stream, due: None, received: Vec::new() })
    };
    connect().map_err(|error: std::io::Error| format!("{address}: {error}"))
}
