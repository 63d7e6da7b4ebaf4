// Runs Google's JavaScript client against the emulator; prints one line of JSON.
//
//     node --require ./node_preload.js node_client.js KEY_FILE PROJECT
//
// NODE_PATH names the directory that contains @google/earthengine. EARTHENGINE_EMULATOR_HOST is
// explained in node_preload.js.

'use strict';

const fs = require('fs');
const ee = require('@google/earthengine');
const {version} = require('@google/earthengine/package.json');

/** The value of a computed object, as a promise. */
function value(object) {
  return new Promise((resolve, reject) => {
    object.evaluate((result, error) => (error ? reject(new Error(error)) : resolve(result)));
  });
}

async function main([keyFile, project]) {
  const key = JSON.parse(fs.readFileSync(keyFile, 'utf8'));
  await new Promise((resolve, reject) => ee.data.authenticateViaPrivateKey(key, resolve, reject));
  await new Promise(
      (resolve, reject) => ee.initialize(null, null, resolve, reject, null, project));
  console.log(JSON.stringify({
    client: '@google/earthengine',
    version,
    result: await value(ee.Number(1).add(2)),
    text: await value(ee.String('a').cat('b')),
    length: await value(ee.List([1, 2]).length()),
  }));
  process.exit(0);
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
