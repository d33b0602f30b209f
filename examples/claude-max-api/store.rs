//! `--store FILE`: kept responses in a SQLite database, so that they are known after a restart.
//!
//! One table has the responses, each with the one that it continues. A response that was deleted or has expired stays until no
//! other continues it. Only the file's owner may read it: it holds conversations.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use tower_claude::http::{ResponseStore, StoreFuture, StoredResponse};

use crate::flags::Flags;

/// The version of the tables, in SQLite's `user_version`.
const VERSION: i64 = 1;

const TABLES: &str = "
    CREATE TABLE server (salt BLOB NOT NULL);
    CREATE TABLE response (
        id TEXT PRIMARY KEY,
        previous TEXT,
        expires_at INTEGER NOT NULL,
        deleted INTEGER NOT NULL,
        json BLOB NOT NULL
    );
    CREATE INDEX previous ON response (previous);
    CREATE INDEX expires_at ON response (expires_at);
";

/// Ends of conversations that are no longer wanted. Deleting them may leave others.
const SWEEP: &str = "
    DELETE FROM response
    WHERE (deleted OR expires_at <= ?1) AND NOT EXISTS (SELECT 1 FROM response AS next WHERE next.previous = response.id)
";

/// The end of the conversation that expires first, but for what has just been put there.
const SHRINK: &str = "
    DELETE FROM response WHERE id = (
        SELECT id FROM response
        WHERE id <> ?1 AND NOT EXISTS (SELECT 1 FROM response AS next WHERE next.previous = response.id)
        ORDER BY expires_at LIMIT 1)
";

/// How often what is no longer wanted is taken out.
const SWEEP_PERIOD: Duration = Duration::from_secs(60);

impl Flags {
    /// The store that `--store` names, if it does.
    pub(crate) fn store(&self) -> Result<Option<SqliteStore>, String> {
        let open = |file| SqliteStore::open(file, u64::from(self.store_limit) * 1024 * 1024);
        self.store.as_deref().map(open).transpose()
    }
}

/// A database of kept responses.
pub(crate) struct SqliteStore {
    database: Arc<Mutex<Database>>,
    salt: [u8; 16],
}

struct Database {
    connection: Connection,
    limit: u64,
    swept: Option<Instant>,
}

impl SqliteStore {
    /// Opens the database, or makes it. It is this server's alone until it is dropped, and holds at most about `limit` bytes
    /// of responses; the newest stays in any case, with all that it goes on from.
    ///
    /// # Errors
    /// A sentence that says why not.
    pub(crate) fn open(file: &Path, limit: u64) -> Result<Self, String> {
        let shown = file.display();
        let cannot = |why: String| format!("Cannot use {shown} as the store of responses: {why}");
        private_file(file)
            .map_err(|error| cannot(format!("{error}. Its directory must exist and be this user's to write in.")))?;
        Database::open(file, limit)
            .map(|(database, salt)| SqliteStore { database: Arc::new(Mutex::new(database)), salt })
            .map_err(|error| {
                cannot(match error {
                    Unusable::Newer(version) => format!(
                        "it has version {version} of its tables, and this program knows version {VERSION}. Use a newer \
                         program, or another file."
                    ),
                    Unusable::Foreign => "it is a database of another program. Name another file.".to_owned(),
                    Unusable::Sqlite(error) => match error.sqlite_error_code() {
                        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                            "another server uses it. Stop that, or give each its own file.".to_owned()
                        }
                        Some(ErrorCode::NotADatabase) => "it is no SQLite database. Name another file.".to_owned(),
                        _ => format!("{error}."),
                    },
                })
            })
    }

    /// Does something with the database where it keeps nobody waiting.
    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Database) -> rusqlite::Result<T> + Send + 'static,
    ) -> StoreFuture<T> {
        let database = Arc::clone(&self.database);
        Box::pin(async move {
            let work = move || work(&mut database.lock().unwrap_or_else(PoisonError::into_inner));
            Ok(tokio::task::spawn_blocking(work).await??)
        })
    }
}

impl ResponseStore for SqliteStore {
    fn salt(&self) -> [u8; 16] {
        self.salt
    }

    fn load(&self, id: &str) -> StoreFuture<Option<StoredResponse>> {
        let id = id.to_owned();
        self.run(move |database| database.load(&id))
    }

    fn save(&self, response: StoredResponse) -> StoreFuture<()> {
        self.run(move |database| database.save(&response))
    }

    fn remove(&self, id: &str) -> StoreFuture<()> {
        let id = id.to_owned();
        self.run(move |database| database.remove(&id))
    }
}

/// Why a file cannot be the store.
enum Unusable {
    Newer(i64),
    Foreign,
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Unusable {
    fn from(error: rusqlite::Error) -> Self {
        Unusable::Sqlite(error)
    }
}

impl Database {
    fn open(file: &Path, limit: u64) -> Result<(Self, [u8; 16]), Unusable> {
        let mut connection = Connection::open(file)?;
        // Not shared: what another server has in progress would look like what a crash has left.
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        connection.busy_timeout(Duration::from_secs(1))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // A power cut may cost the last answers, and never the file.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "secure_delete", "ON")?;
        let new = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        match new.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))? {
            VERSION => {}
            0 if new.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get::<_, i64>(0))? == 0 => {
                new.execute_batch(TABLES)?;
                new.execute("INSERT INTO server (salt) VALUES (randomblob(16))", [])?;
                new.pragma_update(None, "user_version", VERSION)?;
            }
            0 => return Err(Unusable::Foreign),
            newer => return Err(Unusable::Newer(newer)),
        }
        let salt = new.query_row("SELECT salt FROM server", [], |row| row.get(0))?;
        new.commit()?;
        Ok((Database { connection, limit, swept: None }, salt))
    }

    fn load(&mut self, id: &str) -> rusqlite::Result<Option<StoredResponse>> {
        let sql = "SELECT previous, expires_at, deleted, json FROM response WHERE id = ?1";
        let mut select = self.connection.prepare_cached(sql)?;
        let found = select.query_row([id], |row| {
            let mut response = StoredResponse::new(id, row.get(0)?, row.get(1)?, row.get::<_, Vec<u8>>(3)?);
            response.deleted = row.get(2)?;
            Ok(response)
        });
        found.optional()
    }

    fn save(&mut self, response: &StoredResponse) -> rusqlite::Result<()> {
        let StoredResponse { id, previous, expires_at, deleted, json, .. } = response;
        let sql =
            "INSERT OR REPLACE INTO response (id, previous, expires_at, deleted, json) VALUES (?1, ?2, ?3, ?4, ?5)";
        let mut insert = self.connection.prepare_cached(sql)?;
        insert.execute(params![id, previous, expires_at, deleted, &json[..]])?;
        drop(insert);
        if self.swept.is_none_or(|swept| swept.elapsed() >= SWEEP_PERIOD) {
            self.swept = Some(Instant::now());
            while self.connection.execute(SWEEP, [now()])? > 0 {}
        }
        while self.size()? > self.limit && self.connection.execute(SHRINK, [id])? > 0 {}
        Ok(())
    }

    fn remove(&mut self, id: &str) -> rusqlite::Result<()> {
        self.connection.execute("UPDATE response SET deleted = TRUE WHERE id = ?1", [id])?;
        while self.connection.execute(SWEEP, [now()])? > 0 {}
        Ok(())
    }

    /// How much of the file is in use, in bytes.
    fn size(&self) -> rusqlite::Result<u64> {
        let pragma = |name| self.connection.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
        Ok((pragma("page_count")? - pragma("freelist_count")?) * pragma("page_size")?)
    }
}

/// Makes the file where it is not there, and sees to it that nobody else can read it.
fn private_file(file: &Path) -> io::Result<()> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(file).map(drop)
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
