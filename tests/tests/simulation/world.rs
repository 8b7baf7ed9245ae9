//! Time, weather and the wire between the two, all drawn from one seed.

use std::collections::{BTreeMap, BTreeSet};

use deskside_agent::schedule::spread;
use deskside_agent::uplink::{Act, Ending, Event};
use deskside_proto::v1::from_agent::Kind as Up;
use deskside_proto::v1::to_agent::Kind as Down;
use deskside_proto::v1::{Hello, Unchanged};

use crate::agent::{Life, Record};
use crate::server::Server;

/// How long the bad weather lasts.
const STORM_MS: u64 = 60_000;

/// Within this time after it, all must be well.
const CALM_MS: u64 = 3_600_000;

/// Between two rolls of the dice.
const WEATHER_MS: u64 = 250;

/// A broken rule that the simulation must notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutant {
    AcknowledgeBeforeDurable,
    ForgetTheEpoch,
    SkipOneOnResume,
    TakeRepeatsForNews,
}

/// What happened on a day, or on many.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    readings: u64,
    cuts: u64,
    agent_crashes: u64,
    server_crashes: u64,
    epochs: u64,
    leaps: u64,
    repeats: u64,
    unheard: u64,
}

impl Seen {
    pub(crate) fn add(&mut self, day: &Self) {
        self.readings += day.readings;
        self.cuts += day.cuts;
        self.agent_crashes += day.agent_crashes;
        self.server_crashes += day.server_crashes;
        self.epochs += day.epochs;
        self.leaps += day.leaps;
        self.repeats += day.repeats;
        self.unheard += day.unheard;
    }

    pub(crate) fn is_a_bad_time(&self) -> bool {
        let least = self.cuts.min(self.agent_crashes).min(self.server_crashes).min(self.epochs).min(self.leaps);
        least.min(self.repeats).min(self.unheard) > 500 && self.readings > 100_000
    }
}

/// How often what goes wrong, in thousandths.
#[derive(Debug, Default)]
struct Weather {
    cut: u64,
    agent_crash: u64,
    server_crash: u64,
    anew: u64,
    leap: u64,
    repeat: u64,
    unheard: u64,
    old_session_stays: u64,
    delay_ms: u64,
    flush_ms: u64,
}

enum What {
    Weather,
    Append,
    Flush,
    AgentStart,
    ServerStart,
    Wake { life: u64 },
    ToAgent { life: u64, event: Event },
    Recorded { life: u64 },
    Read { life: u64, read: u64, after: u64 },
    Arrive { life: u64, session: u64, connection: u64 },
    ToServer { connection: u64, message: Up },
    Hung { connection: u64 },
}

/// Two ends, and when the last word in each direction arrives: a line keeps the order of words.
struct Connection {
    life: u64,
    session: u64,
    up_ms: u64,
    down_ms: u64,
    cut: bool,
}

pub(crate) struct World {
    seed: u64,
    rolls: u64,
    now_ms: u64,
    leapt_ms: u64,
    order: u64,
    agenda: BTreeMap<(u64, u64), What>,
    weather: Weather,
    lives: u64,
    life: Option<Life>,
    record: Record,
    server: Server,
    flushing: bool,
    connections: BTreeMap<u64, Connection>,
    connected: u64,
    owed: BTreeSet<i64>,
    seen: Seen,
}

impl World {
    pub(crate) fn new(seed: u64, mutant: Option<Mutant>) -> Self {
        let mut world = Self {
            seed,
            rolls: 0,
            now_ms: 0,
            leapt_ms: 0,
            order: 0,
            agenda: BTreeMap::new(),
            weather: Weather::default(),
            lives: 0,
            life: None,
            record: Record::new(),
            server: Server::new(mutant),
            flushing: false,
            connections: BTreeMap::new(),
            connected: 0,
            owed: BTreeSet::new(),
            seen: Seen::default(),
        };
        let mut rate = |most: u64| if world.roll(2) == 0 { 0 } else { world.roll(most) };
        world.weather = Weather {
            cut: rate(100),
            agent_crash: rate(60),
            server_crash: rate(60),
            anew: rate(20),
            leap: rate(30),
            repeat: rate(200),
            unheard: rate(300),
            old_session_stays: rate(1000),
            delay_ms: 1 + rate(2_000),
            flush_ms: 1 + rate(5_000),
        };
        for what in [What::Weather, What::Append, What::AgentStart] {
            world.at(0, what);
        }
        world
    }

    /// Lives the day to its end; what went wrong, or what was survived.
    pub(crate) fn live(mut self) -> Result<Seen, String> {
        while let Some(((now_ms, _), what)) = self.agenda.pop_first() {
            self.now_ms = self.now_ms.max(now_ms);
            self.happen(what);
            if self.now_ms > STORM_MS && self.is_settled() {
                return self.judge();
            }
            if self.now_ms > STORM_MS + CALM_MS {
                let phase = self.life.as_ref().map(|life| life.uplink.phase().clone());
                return Err(format!("no rest an hour after the storm: {phase:?}, {:?}", self.record.standing()));
            }
        }
        Err("the world stood still".into())
    }

    fn is_settled(&self) -> bool {
        let idle = self.life.as_ref().is_some_and(|life| life.uplink.idle());
        let on_its_way =
            |what: &What| matches!(what, What::Recorded { .. } | What::ToServer { .. } | What::ToAgent { .. });
        idle && !self.server.is_waiting() && !self.agenda.values().any(on_its_way)
    }

    fn judge(&self) -> Result<Seen, String> {
        let mut ids = BTreeSet::new();
        let mut last = BTreeMap::new();
        for (epoch, seq, id) in &self.server.shown {
            if !ids.insert(*id) {
                return Err(format!("reading {id} is shown twice"));
            }
            if last.insert(*epoch, *seq).is_some_and(|before| before >= *seq) {
                return Err(format!("epoch {epoch}: {seq} came out of order"));
            }
        }
        match self.owed.difference(&ids).next() {
            Some(id) => Err(format!("reading {id} never arrived")),
            None => Ok(Seen { readings: self.owed.len() as u64, ..self.seen }),
        }
    }

    fn roll(&mut self, below: u64) -> u64 {
        self.rolls += 1;
        spread(self.seed, self.rolls, below)
    }

    fn chance(&mut self, rate: u64) -> bool {
        rate > 0 && self.roll(1000) < rate
    }

    fn at(&mut self, after_ms: u64, what: What) {
        self.order += 1;
        self.agenda.insert((self.now_ms + after_ms, self.order), what);
    }

    fn delay(&mut self) -> u64 {
        let most = self.weather.delay_ms;
        self.roll(most)
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Weather => self.weather(),
            What::Append => self.append(),
            What::Flush => self.flush(),
            What::AgentStart => self.start_agent(),
            What::ServerStart => self.server.up = true,
            What::Wake { life } => {
                if let Some(life) = self.life.as_mut().filter(|_| life == self.lives) {
                    life.wake_ms = None;
                }
                self.tell(life, Event::Tick);
            }
            What::ToAgent { life, event } => self.tell(life, event),
            What::Recorded { life } => self.tell(life, Event::Recorded(self.record.standing())),
            What::Read { life, read, after } => {
                let count = 1 + self.roll(8) as usize;
                let (epoch, readings) = (self.record.standing().epoch, self.record.after(after, count));
                let wait = self.roll(3);
                self.at(wait, What::ToAgent { life, event: Event::Read { read, epoch, readings } });
            }
            What::Arrive { life, session, connection } => self.arrive(life, session, connection),
            What::ToServer { connection, message } => self.serve(connection, message),
            What::Hung { connection } => self.server.forget(connection),
        }
    }

    fn weather(&mut self) {
        if self.now_ms > STORM_MS {
            self.weather = Weather { delay_ms: 20, flush_ms: 5, ..Weather::default() };
            return;
        }
        self.at(WEATHER_MS, What::Weather);
        if self.chance(self.weather.cut)
            && let Some(connection) = self.life.as_ref().and_then(|life| life.connection)
        {
            self.seen.cuts += 1;
            self.cut(connection);
        }
        if self.life.is_some() && self.chance(self.weather.agent_crash) {
            self.seen.agent_crashes += 1;
            let connection = self.life.take().and_then(|life| life.connection);
            self.record.reopen();
            if let Some(connection) = connection {
                self.cut(connection);
            }
            let wait = self.roll(5_000);
            self.at(wait, What::AgentStart);
        }
        if self.server.up && self.chance(self.weather.server_crash) {
            self.seen.server_crashes += 1;
            self.server.crash();
            let all: Vec<u64> = self.connections.keys().copied().collect();
            for connection in all {
                self.cut(connection);
            }
            let wait = self.roll(5_000);
            self.at(wait, What::ServerStart);
        }
        if self.chance(self.weather.anew) {
            self.seen.epochs += 1;
            self.record.begin_anew();
            self.owed.clear();
            self.recorded();
        }
        if self.chance(self.weather.leap) {
            self.seen.leaps += 1;
            self.leapt_ms += self.roll(7_200_000);
            self.tell(self.lives, Event::Tick);
        }
    }

    fn append(&mut self) {
        if self.now_ms > STORM_MS {
            return;
        }
        let wait = self.roll(1_500);
        self.at(wait, What::Append);
        // Only a living agent looks.
        if self.life.is_none() {
            return;
        }
        for _ in 0..=self.roll(6) {
            let stream = self.roll(4) > 0;
            self.owed.extend(self.record.append(stream));
        }
        if self.roll(3) == 0 {
            self.record.drop_kept();
        }
        self.recorded();
    }

    fn recorded(&mut self) {
        let wait = self.roll(3);
        self.at(wait, What::Recorded { life: self.lives });
    }

    fn flush(&mut self) {
        self.flushing = false;
        let count = 1 + self.roll(8) as usize;
        for (connection, said) in self.server.flush(count) {
            self.say(connection, &said);
        }
        self.flush_soon();
    }

    fn flush_soon(&mut self) {
        if self.server.is_waiting() && !self.flushing {
            self.flushing = true;
            let wait = 1 + self.roll(self.weather.flush_ms);
            self.at(wait, What::Flush);
        }
    }

    fn start_agent(&mut self) {
        self.lives += 1;
        let now_ms = self.now_ms + self.leapt_ms;
        self.life = Some(Life::new(self.roll(u64::MAX), &self.record, now_ms));
        self.tell(self.lives, Event::Tick);
    }

    /// Tells the uplink something, if the one who was meant still lives, and does what it says.
    fn tell(&mut self, meant: u64, event: Event) {
        let now_ms = self.now_ms + self.leapt_ms;
        let Some(life) = self.life.as_mut().filter(|_| meant == self.lives) else { return };
        let acts = life.uplink.step(now_ms, event);
        for act in acts {
            self.act(act);
        }
        let Some(life) = &mut self.life else { return };
        let next_ms = life.uplink.next_ms();
        if life.wake_ms != Some(next_ms) {
            life.wake_ms = Some(next_ms);
            let wait = next_ms.saturating_sub(now_ms);
            self.at(wait, What::Wake { life: meant });
        }
    }

    fn act(&mut self, act: Act) {
        let life = self.lives;
        match act {
            Act::Connect(session) => {
                self.connected += 1;
                let connection = self.connected;
                if let Some(life) = &mut self.life {
                    life.connection = Some(connection);
                }
                let wait = self.delay();
                self.at(wait, What::Arrive { life, session, connection });
            }
            Act::Disconnect(_) => {
                if let Some(connection) = self.life.as_mut().and_then(|life| life.connection.take()) {
                    self.cut(connection);
                }
            }
            Act::Greet(standing) => self.send(&Up::Hello(Hello {
                epoch: standing.epoch,
                first_seq: standing.first_seq,
                last_seq: standing.last_seq,
                ..Hello::default()
            })),
            Act::Send(message) => self.send(&message),
            Act::Beat => self.send(&Up::Unchanged(Unchanged::default())),
            Act::Read { read, after, .. } => {
                let wait = self.roll(5);
                self.at(wait, What::Read { life, read, after });
            }
            Act::Keep { epoch, seq } => self.record.keep(epoch, seq),
            Act::BeginEpoch => {
                self.record.begin_anew();
                self.owed.clear();
                self.recorded();
            }
            Act::Start(_) | Act::Stop(_) | Act::Apply(_) | Act::Describe(_) => {}
        }
    }

    fn arrive(&mut self, life: u64, session: u64, connection: u64) {
        let event = if self.server.up {
            let (up_ms, down_ms) = (self.now_ms, self.now_ms);
            self.connections.insert(connection, Connection { life, session, up_ms, down_ms, cut: false });
            Event::Opened(session)
        } else {
            Event::Closed(session, Ending::Lost("nobody listens".into()))
        };
        self.tell(life, event);
    }

    fn send(&mut self, message: &Up) {
        let Some(connection) = self.life.as_ref().and_then(|life| life.connection) else { return };
        let times = 1 + u64::from(matches!(message, Up::Batch(_)) && self.chance(self.weather.repeat));
        self.seen.repeats += times - 1;
        for _ in 0..times {
            let arrives_ms = self.now_ms + self.delay();
            let Some(line) = self.connections.get_mut(&connection).filter(|line| !line.cut) else { return };
            line.up_ms = line.up_ms.max(arrives_ms);
            let wait = line.up_ms - self.now_ms;
            self.at(wait, What::ToServer { connection, message: message.clone() });
        }
    }

    fn say(&mut self, connection: u64, message: &Down) {
        let kept = matches!(message, Down::Kept(_));
        if kept && self.chance(self.weather.unheard) {
            self.seen.unheard += 1;
            return;
        }
        let times = 1 + u64::from(kept && self.chance(self.weather.repeat));
        for _ in 0..times {
            let arrives_ms = self.now_ms + self.delay();
            let Some(line) = self.connections.get_mut(&connection).filter(|line| !line.cut) else { return };
            line.down_ms = line.down_ms.max(arrives_ms);
            let (life, wait) = (line.life, line.down_ms - self.now_ms);
            let event = Event::Heard(line.session, message.clone());
            self.at(wait, What::ToAgent { life, event });
        }
    }

    /// The line breaks. What was on its way still arrives; each side notices in its own time, the server perhaps never.
    fn cut(&mut self, connection: u64) {
        let Some(line) = self.connections.get_mut(&connection).filter(|line| !line.cut) else { return };
        line.cut = true;
        let (life, event) = (line.life, Event::Closed(line.session, Ending::Lost("cut".into())));
        let (agent_ms, server_ms) = (self.delay(), self.delay() * 3);
        self.at(agent_ms, What::ToAgent { life, event });
        if self.roll(4) > 0 {
            self.at(server_ms, What::Hung { connection });
        }
    }

    fn serve(&mut self, connection: u64, message: Up) {
        if !self.server.up {
            return;
        }
        match message {
            Up::Hello(hello) => {
                for older in self.server.older(connection) {
                    if !self.chance(self.weather.old_session_stays) {
                        self.server.forget(older);
                        self.cut(older);
                    }
                }
                let welcome = self.server.hello(connection, &hello);
                self.say(connection, &welcome);
            }
            Up::Batch(batch) => match self.server.batch(connection, &batch) {
                Ok(said) => {
                    if let Some(said) = said {
                        self.say(connection, &said);
                    }
                    self.flush_soon();
                }
                Err(_refusal) => {
                    self.server.forget(connection);
                    self.cut(connection);
                }
            },
            Up::Answer(_) | Up::Schemas(_) | Up::Unchanged(_) => {}
        }
    }
}
