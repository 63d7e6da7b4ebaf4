// A headless browser that can only reach this machine.
"use strict";

const path = require("node:path");
const { chromium } = require("playwright-core");

const PATIENCE = 30_000;

// Runs `steps` with a browser. A failed step ends the process with the state of the page.
exports.run = async (steps) => {
  const browser = await chromium.launch({
    executablePath: process.env.EE_TESTS_CHROMIUM,
    args: [
      "--no-sandbox", // tests run as root, in containers
      "--disable-gpu",
      "--disable-dev-shm-usage", // which containers have little of
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  try {
    await steps(browser);
  } catch (error) {
    console.error(error);
    process.exitCode = 1;
  } finally {
    await browser.close();
  }
};

// A user with their own cookies.
exports.person = async (browser) => {
  const context = await browser.newContext();
  context.setDefaultTimeout(PATIENCE);
  return context;
};

// On a busy machine the browser sometimes fails to draw a page, so this is retried once.
exports.screenshot = (page, name) => {
  const draw = () =>
    page.screenshot({ path: path.join(process.env.EE_TESTS_SCREENSHOTS, `${name}.png`) });
  return draw().catch(draw);
};
