"use strict";

// The callback adds an error message to this page's URL, but never a code.
const error = new URLSearchParams(location.search).get("error");
if (error) {
  document.getElementById("outcome").textContent = error;
}
new BroadcastChannel("session").postMessage({ error });
if (!error) {
  window.close();
}
