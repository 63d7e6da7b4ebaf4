// A user who logs in on the consent page of a command.
"use strict";

const assert = require("node:assert/strict");
const { run, person, screenshot } = require("./browser.cjs");

const [consent, email] = process.argv.slice(2);

run(async (browser) => {
  const page = await (await person(browser)).newPage();
  await page.goto(consent);
  await page.waitForSelector("a.allow");
  await screenshot(page, "login-consent");
  await page.click(`text="Continue as ${email}"`);
  await page.waitForURL(/^http:\/\/localhost:\d+\//);
  const text = await page.textContent("body");
  assert.match(text, /close this (page|window|tab)/i);
  assert.ok(!page.url().includes("code="), "the code stays in the address bar");
  await screenshot(page, "login-done");
});
