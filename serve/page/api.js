// What the server is asked. The key is kept here, in memory, and nowhere else.

let key = "", wanted = false;
let asked = () => {};

export function useKey(value) { key = value.trim(); }
export function hasKey() { return key !== ""; }
// Whether what is asked needs a key, as far as is known.
export function isGuarded() { return wanted || key !== ""; }
// `what(message)` is called when the server wants a key, or another one.
export function whenKeyIsWanted(what) { asked = what; }

export function withKey(headers) {
  return key ? {...headers, "x-api-key": key} : headers;
}

// The answer, whatever its status. Credentials of the browser's own are left out.
export async function send(path, init = {}) {
  const mine = key;
  const answer = await fetch(path, {credentials: "omit", cache: "no-store", ...init, headers: withKey(init.headers ?? {})});
  if (answer.status === 401 && mine === key) {  // a late refusal of another key asks for nothing
    wanted = true;
    asked(words(await answer.clone().text()).slice(0, 300));
  }
  return answer;
}

// JSON of a GET; an Error with the server's own words for anything but 200.
export async function look(path) {
  const answer = await send(path);
  const text = await answer.text();
  if (!answer.ok) throw new Error(words(text) || `status ${answer.status}`);
  return JSON.parse(text);
}

export function words(text) {
  try {
    const found = JSON.parse(text);
    return found.error ?? found.message ?? "";
  } catch {
    return "";
  }
}
