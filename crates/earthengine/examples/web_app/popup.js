"use strict";

// The callback puts what went wrong, and never a code, into the address of this page.
const error = new URLSearchParams(location.search).get("error");
if (error) {
  document.getElementById("outcome").textContent = error;
}
new BroadcastChannel("session").postMessage({ error });
if (!error) {
  window.close();
}
