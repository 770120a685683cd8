// npm's wechatpay-axios-plugin as a merchant at a provider of ours, and as a judge of what our adapter signs and reads.
import { Aes, Formatter, Rsa, Wechatpay } from 'wechatpay-axios-plugin';

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const given = JSON.parse(Buffer.concat(chunks).toString());

const { v3 } = new Wechatpay({
  baseURL: given.gateway,
  mchid: given.mchid,
  serial: given.serial_no,
  privateKey: given.private_key,
  certs: given.platform_keys,
  proxy: false,
});
const code = (error) => error.code ?? error.message;
const number = 'TB-NODE-1';
const order = {
  appid: given.appid, mchid: given.mchid, description: 'a course, 一门课', out_trade_no: number,
  notify_url: given.notify_url, amount: { total: 1250, currency: 'CNY' },
};

const placed = await v3.pay.transactions.native.post(order);
const found = await v3.pay.transactions.outTradeNo.$number$.get({ params: { mchid: given.mchid }, number });
const closed = await v3.pay.transactions.outTradeNo.$number$.close.post({ mchid: given.mchid }, { number });
const look = (which) => v3.pay.transactions.outTradeNo.$which$.get({ params: { mchid: given.mchid }, which });
const forged = [];
for (const which of given.spoilt) forged.push(await look(which).then(() => 'taken', code));

const told = {
  placed: [placed.status, Object.keys(placed.data)],
  found: [found.status, found.data.trade_state],
  closed: closed.status,
  forged,
  notices: given.notices.map(([headers, body]) => {
    const key = given.platform_keys[headers['wechatpay-serial']];
    const text = Formatter.response(headers['wechatpay-timestamp'], headers['wechatpay-nonce'], body);
    const { nonce, ciphertext, associated_data: aad } = JSON.parse(body).resource;
    return [
      Rsa.verify(text, headers['wechatpay-signature'], Rsa.from(key, 'public')),
      JSON.parse(Aes.AesGcm.decrypt(ciphertext, given.api_v3_key, nonce, aad)),
    ];
  }),
  signed: given.signed.map((one) => Rsa.verify(
    Formatter.request(one.method, one.target, one.timestamp, one.nonce, one.body),
    one.signature,
    Rsa.from(given.merchant_certificate, 'public'),
  )),
  paySign: Rsa.verify(
    Formatter.joinedByLineFeed(...given.jsapi), given.pay_sign, Rsa.from(given.merchant_certificate, 'public'),
  ),
  bill: Formatter.castCsvBill(Buffer.from(given.bill, 'base64')),
};
console.log(JSON.stringify(told));
