"use strict";

// The callback adds the name of a problem to this page's URL, but never a code or a text.
const PROBLEMS = {
  denied: "You did not allow access, so you are not signed in.",
  timeout: "The sign-in took too long. Sign in again.",
  no_login: "This sign-in was not started in this browser. Close this window and sign in again.",
  failed: "The sign-in failed. Sign in again.",
};
const name = new URLSearchParams(location.search).get("problem");
const problem = name && (PROBLEMS[name] ?? PROBLEMS.failed);
if (problem) {
  document.getElementById("outcome").textContent = problem;
}
new BroadcastChannel("session").postMessage({ problem });
if (!problem) {
  window.close();
}
