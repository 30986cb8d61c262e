// Decodes one ISO 8583 message with the npm package iso_8583.
// Standard input: {"message": hex, from the MTI in ASCII on; "formats": {field: the package's own format entry}}.
// Standard output: {"fields": {field: text or hex}, "rest": hex behind the last field} or {"error": text}.
const Iso8583 = require('iso_8583');
const fs = require('fs');

const { message, formats } = JSON.parse(fs.readFileSync(0, 'utf8'));
const decoded = new Iso8583({}, formats).unpack_0_127(Buffer.from(message, 'hex'), {}, {});
const answer = decoded.error ? { error: decoded.error } : { fields: decoded.json, rest: decoded.remSlice.toString('hex') };
process.stdout.write(JSON.stringify(answer));
