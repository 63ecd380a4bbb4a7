//! One end of TLS in use: what was loaded last, swapped whole when its files have good new contents.

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::certificate::Certificate;
use super::error::{TlsError, TlsPart};
use super::private_file::{KeptFrom, warning};
use super::tls_settings::KeyPair;

/// What settings come to once their files are read.
#[derive(Debug)]
pub struct LoadedTls<C> {
    /// What rustls works with.
    pub config: Arc<C>,
    /// The certificates in it that are ours.
    pub certificates: Vec<Certificate>,
    /// Distinguishes the contents of the files.
    pub digest: u64,
}

/// What is in the files of settings, each looked at whatever is wrong with the others.
#[derive(Debug)]
pub struct Examined {
    /// The certificate of each pair; none where it cannot be read.
    pub certificates: Vec<Option<Certificate>>,
    /// Everything that is wrong.
    pub errors: Vec<TlsError>,
}

/// Settings that name files.
pub trait Load: Debug {
    /// What rustls works with.
    type Config: Debug;

    /// Reads the files; `old` is what was in use before.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    fn load(&self, old: Option<&LoadedTls<Self::Config>>) -> Result<LoadedTls<Self::Config>, Vec<TlsError>>;

    /// Reads the files only to say what is in them.
    fn examine(&self) -> Examined;

    /// The files.
    fn files(&self) -> Vec<PathBuf>;

    /// Its pairs of a certificate and a key.
    fn pairs(&self) -> &[KeyPair];

    /// What the owners of keys should know: others can read them.
    fn exposed(&self) -> Vec<(TlsPart, String)> {
        let keys = self.pairs().iter().enumerate();
        keys.filter_map(|(index, pair)| Some((TlsPart::Key(index), warning(&pair.key, KeptFrom::Others)?))).collect()
    }
}

/// One end of TLS.
#[derive(Debug)]
pub struct ReloadableTls<S: Load> {
    place: String,
    settings: S,
    live: RwLock<Arc<LoadedTls<S::Config>>>,
    /// What was wrong with the files when they were last read, a line each.
    problems: Mutex<Vec<String>>,
    /// The keys that others could read then, a line each.
    exposed: Mutex<Vec<String>>,
}

/// One end of TLS, as metrics and status show it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFacts {
    /// Where the config has it, such as `listeners.public.tls`.
    pub place: String,
    /// The certificates in use.
    pub certificates: Vec<Certificate>,
    /// Why newer files are not in use, a line each.
    pub problems: Vec<String>,
    /// Keys that others can read, a line each.
    pub exposed: Vec<String>,
}

impl<S: Load> ReloadableTls<S> {
    /// Reads the files of `settings`, which the config has at `place`.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn new(place: String, settings: S) -> Result<Self, Vec<TlsError>> {
        let live = RwLock::new(Arc::new(settings.load(None)?));
        let exposed = Mutex::new(lines(&settings));
        Ok(Self { place, settings, live, problems: Mutex::default(), exposed })
    }

    /// Where the config has it.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What it was made of.
    #[must_use]
    pub fn settings(&self) -> &S {
        &self.settings
    }

    /// What a new connection works with.
    #[must_use]
    pub fn config(&self) -> Arc<S::Config> {
        Arc::clone(&self.loaded().config)
    }

    fn loaded(&self) -> Arc<LoadedTls<S::Config>> {
        Arc::clone(&self.live.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn problems(&self) -> MutexGuard<'_, Vec<String>> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn told_exposed(&self) -> MutexGuard<'_, Vec<String>> {
        self.exposed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks again who can read the keys. Gives what is new.
    #[must_use]
    pub fn look_at_keys(&self) -> Vec<String> {
        let now = lines(&self.settings);
        let before = std::mem::replace(&mut *self.told_exposed(), now.clone());
        now.into_iter().filter(|line| !before.contains(line)).collect()
    }

    /// Its files.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.settings.files()
    }

    /// Metrics and status.
    #[must_use]
    pub fn facts(&self) -> TlsFacts {
        TlsFacts {
            place: self.place.clone(),
            certificates: self.loaded().certificates.clone(),
            problems: self.problems().clone(),
            exposed: self.told_exposed().clone(),
        }
    }

    /// Reads the files again. Good ones are in use for the next connection; bad ones change nothing. Gives what is
    /// worth telling: `None` when the contents are the same, or wrong in the same way as before.
    pub fn reload(&self) -> Option<Result<Vec<Certificate>, Vec<String>>> {
        let old = self.loaded();
        match self.settings.load(Some(&old)) {
            Ok(new) => {
                let recovered = !std::mem::take(&mut *self.problems()).is_empty();
                if new.digest == old.digest {
                    return recovered.then(|| Ok(old.certificates.clone()));
                }
                let certificates = new.certificates.clone();
                *self.live.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
                Some(Ok(certificates))
            }
            Err(errors) => {
                let lines: Vec<String> = errors.iter().map(TlsError::line).collect();
                let told = std::mem::replace(&mut *self.problems(), lines.clone()) == lines;
                (!told).then_some(Err(lines))
            }
        }
    }
}

fn lines(settings: &impl Load) -> Vec<String> {
    settings.exposed().into_iter().map(|(_, line)| line).collect()
}
