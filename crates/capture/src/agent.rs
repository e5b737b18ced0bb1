//! The shared object that goes into the target, and how it gets there.

use serde_json::Value;

use crate::cdp::{Address, Cdp, CdpError};
use std::time::Duration;

use base64::Engine as _;

/// The agent as the build script made it; empty where it can't work.
static AGENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/agent.so"));

/// Where an isolate keeps the loaded agent; the number is that of its interface.
pub(crate) const PLACE: &str = "globalThis[Symbol.for('twinheap.agent.1')]";

/// Loading takes milliseconds, but the event loop may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// Writes the agent to a private folder, loads it and deletes the file at once.
///
/// The target does this itself: it may see another file system than we do, and another user may own it. Folders
/// for temporary files may be mounted so that nothing in them can be executed, hence several.
///
/// Nothing here may ask for a file's status, as `fs.rmSync` does: Node keeps the answers of all such calls in one
/// array, and the inspector may have interrupted JavaScript between a call and the look at its answer.
const LOAD: &str = r"
((payload, get) => {
  const fs = get('fs'), os = get('os'), path = get('path');
  const code = Buffer.from(payload, 'base64');
  const reasons = [];
  for (const base of new Set([os.tmpdir(), '/dev/shm', '/var/tmp', process.cwd()])) {
    let folder, file;
    try {
      folder = fs.mkdtempSync(path.join(base, 'twinheap-'));
      file = path.join(folder, 'agent.node');
      fs.writeFileSync(file, code, { mode: 0o500 });
      const module = { exports: {} };
      process.dlopen(module, file);
      Object.defineProperty(globalThis, Symbol.for('twinheap.agent.1'), { value: module.exports, configurable: true });
      return null;
    } catch (error) {
      reasons.push(`${base}: ${error.message}`);
    } finally {
      try { if (file) fs.unlinkSync(file); } catch {}
      try { if (folder) fs.rmdirSync(folder); } catch {}
    }
  }
  return reasons.join('; ');
})";

/// A function of a module's name; the module's text must be evaluated where `require` can be seen.
pub(crate) const GET: &str =
    "(typeof process.getBuiltinModule === 'function' ? process.getBuiltinModule : require)";

/// Makes sure that the isolate has the agent.
///
/// # Errors
/// With words for why it can't be loaded.
pub(crate) async fn load(cdp: &mut Cdp, to: &Address) -> Result<Result<(), String>, CdpError> {
    if AGENT.is_empty() {
        return Ok(Err("this twinheap was built for a system on which that doesn't work".to_owned()));
    }
    let there = cdp.evaluate(to, &format!("typeof {PLACE} === 'object'"), PATIENCE).await?;
    if there == Value::Bool(true) {
        return Ok(Ok(()));
    }
    let payload = base64::engine::general_purpose::STANDARD.encode(AGENT);
    let expression = format!("{LOAD}('{payload}', {GET})");
    match cdp.evaluate(to, &expression, PATIENCE).await {
        Ok(Value::Null) => Ok(Ok(())),
        Ok(reasons) => {
            let reasons = reasons.as_str().unwrap_or("it doesn't say why").to_owned();
            Ok(Err(format!("the process can't load the agent ({reasons})")))
        }
        Err(CdpError::Thrown(reason)) => Ok(Err(format!("the process can't load the agent ({reason})"))),
        Err(error) => Err(error),
    }
}
