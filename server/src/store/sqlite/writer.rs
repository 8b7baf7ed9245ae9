//! The one thread that writes: what waits goes into one transaction, each job in a savepoint of its own.

use std::{sync::Arc, thread};

use anyhow::{Context, Result, anyhow};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};
use tracing::error;

/// Jobs that may wait; the next one waits with its sender, which is how a slow disk slows those who send.
const QUEUE_JOBS_MAX: usize = 256;

/// Jobs in one transaction.
const GROUP_JOBS_MAX: usize = 128;

/// What the transaction came to, as each of its jobs is told.
type Committed = std::result::Result<(), Arc<rusqlite::Error>>;

/// Tells the one who asked, after the transaction has ended.
type Tell = Box<dyn FnOnce(Committed) + Send>;

/// A job: writes where there is a transaction, and answers how to tell.
type Job = Box<dyn FnOnce(Option<&Transaction<'_>>) -> Tell + Send>;

/// The way to the thread; it ends when the last of these is gone.
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
}

impl Writer {
    pub(super) fn start(connection: Connection) -> Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE_JOBS_MAX);
        thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || run(connection, queue))
            .context("starting the store's writer")?;
        Ok(Self { jobs })
    }

    pub(super) async fn write<T, F>(&self, job: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        let job: Job = Box::new(move |transaction| {
            let answer = transaction.map(|transaction| in_savepoint(transaction, job));
            Box::new(move |committed| {
                let answer = match (answer, committed) {
                    // Why its own error first: the one whose job broke the transaction learns what broke it.
                    (Some(Err(error)), _) => Err(error),
                    (Some(answer), Ok(())) => answer,
                    (_, Err(error)) => Err(anyhow!(error).context("committing to the store")),
                    (None, Ok(())) => Err(anyhow!("the store ran no transaction")),
                };
                // Why: one who no longer waits needs no answer.
                tell.send(answer).ok();
            })
        });
        self.jobs.send(job).await.map_err(|_closed| anyhow!("the store is closed"))?;
        told.await.context("the store is closed")?
    }
}

fn run(mut connection: Connection, mut queue: mpsc::Receiver<Job>) {
    while let Some(first) = queue.blocking_recv() {
        let mut group = vec![first];
        while group.len() < GROUP_JOBS_MAX
            && let Ok(job) = queue.try_recv()
        {
            group.push(job);
        }
        write_group(&mut connection, group);
    }
}

fn write_group(connection: &mut Connection, group: Vec<Job>) {
    let transaction = match connection.transaction_with_behavior(TransactionBehavior::Immediate) {
        Ok(transaction) => transaction,
        Err(error) => {
            error!(%error, jobs = group.len(), "the store does not take a transaction");
            let error = Arc::new(error);
            for job in group {
                job(None)(Err(Arc::clone(&error)));
            }
            return;
        }
    };
    let mut tells = Vec::with_capacity(group.len());
    for job in group {
        tells.push(job(Some(&transaction)));
    }
    // Why: after a full disk or an I/O error SQLite may have rolled back all of it by itself; then nothing was written for anybody.
    let committed = if transaction.is_autocommit() {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT_ROLLBACK);
        Err(rusqlite::Error::SqliteFailure(code, Some("the transaction was rolled back".into())))
    } else {
        transaction.commit()
    };
    if let Err(error) = &committed {
        error!(%error, jobs = tells.len(), "the store did not commit");
    }
    let committed = committed.map_err(Arc::new);
    for tell in tells {
        tell(committed.clone());
    }
}

fn in_savepoint<T>(transaction: &Transaction<'_>, job: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
    transaction.execute_batch("SAVEPOINT job").context("writing to the store")?;
    let answer = job(transaction);
    let end = if answer.is_ok() { "RELEASE job" } else { "ROLLBACK TO job; RELEASE job" };
    if transaction.is_autocommit() {
        return answer;
    }
    transaction.execute_batch(end).context("writing to the store")?;
    answer
}
