package bitcoin_test

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/psbt/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
	"github.com/aitbc/exchange/actors/bitcoin/bitcointest"
)

// sign is the operator's signer.
func sign(t *testing.T, exported string, kind txscript.SigHashType) string {
	t.Helper()
	return bitcointest.Sign(t, exported, kind)
}

func parsePSBT(t *testing.T, text string) *psbt.Packet {
	t.Helper()
	packet, err := psbt.NewFromRawBytes(strings.NewReader(text), true)
	if err != nil {
		t.Fatal(err)
	}
	return packet
}

func encodePSBT(t *testing.T, packet *psbt.Packet) string {
	t.Helper()
	text, err := packet.B64Encode()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func coins(amounts ...account.Money) (list []bitcoin.Coin) {
	for i, amount := range amounts {
		list = append(list, bitcoin.Coin{Out: wire.OutPoint{Index: uint32(i)}, BTC: amount, Index: uint32(i)})
	}
	return list
}

func TestPayoutGoesFromReceivedCoinsToTheChain(t *testing.T) {
	n := bitcointest.Start(t)
	n.Generate(101)
	k := keys(t)
	first, second, payee := address(t, 7), address(t, 8), n.Wallet.Address
	change, err := k.ChangeAddress(3)
	if err != nil {
		t.Fatal(err)
	}
	c := newConsumer(t)
	c.watch(n, first, second, change)
	n.Wallet.Pay(bitcointest.Payment{Address: first, Satoshi: 60_000}, bitcointest.Payment{Address: second, Satoshi: 50_000})
	n.Generate(1)
	c.untilAt(n, first, 102)
	c.untilAt(n, second, 102)
	var received []bitcoin.Coin
	for _, o := range c.outputs {
		index := uint32(7)
		if o.Address == second {
			index = 8
		}
		received = append(received, bitcoin.Coin{Out: o.Out, BTC: o.BTC, Index: index})
	}

	payout, err := bitcoin.NewPayout(k, received, []bitcoin.Payee{{payee, 70_000}, {payee, 1000}}, 5, 3)
	if err != nil {
		t.Fatal(err)
	}
	if got := payout.Fee + payout.Change + 71_000; got != 110_000 || len(payout.Spent) != 2 {
		t.Errorf("payees, fee and change are %d, want 110000: %+v", got, payout)
	}
	tx, err := signed(t, payout, sign(t, payout.PSBT, txscript.SigHashAll))
	if err != nil {
		t.Fatal(err)
	}
	if tx.TxHash().String() != payout.TxID {
		t.Errorf("the signed transaction is %s, want %s", tx.TxHash(), payout.TxID)
	}
	// The fee is for the size that it has, to a few signatures' length.
	base, whole := int64(tx.SerializeSizeStripped()), int64(tx.SerializeSize())
	if size := (3*base + whole + 3) / 4; int64(payout.Fee) < 5*size || int64(payout.Fee) > 5*(size+4) {
		t.Errorf("a fee of %d for %d virtual bytes", int64(payout.Fee), size)
	}
	if err := n.Send(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	c.untilAt(n, change, 0)
	n.Generate(1)
	c.untilAt(n, change, 103)
}

func TestNewPayout(t *testing.T) {
	k := keys(t)
	to := address(t, 0)
	for _, c := range []struct {
		name   string
		coins  []bitcoin.Coin
		payees []bitcoin.Payee
		rate   int64
		want   string
	}{
		{"nobody", coins(1000), nil, 1, "payees"},
		{"no fee", coins(1000), []bitcoin.Payee{{to, 500}}, 0, "a fee of"},
		{"a fee by mistake", coins(1000), []bitcoin.Payee{{to, 500}}, 100_000, "a fee of"},
		{"dust", coins(1000), []bitcoin.Payee{{to, 293}}, 1, "relay no less"},
		{"of another network", coins(1000), []bitcoin.Payee{{"bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu", 500}}, 1, "not a valid address"},
		{"no coins", nil, []bitcoin.Payee{{to, 500}}, 1, "not enough"},
		{"a coin short of the fee", coins(609), []bitcoin.Payee{{to, 500}}, 1, "not enough"},
		{"the same coin twice", append(coins(600), coins(600)...), []bitcoin.Payee{{to, 700}}, 1, "not enough"},
	} {
		t.Run(c.name, func(t *testing.T) {
			payout, err := bitcoin.NewPayout(k, c.coins, c.payees, c.rate, 0)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %+v, %v, want an error with %q", payout, err, c.want)
			}
		})
	}
	// 11 + 68 + 31 virtual bytes; what is left is dust and goes to the fee.
	payout, err := bitcoin.NewPayout(k, coins(100, 610+293), []bitcoin.Payee{{to, 500}}, 1, 0)
	if err != nil || payout.Fee != 110+293 || payout.Change != 0 || len(payout.Spent) != 1 {
		t.Errorf("got %+v, %v, want all of the largest coin spent", payout, err)
	}
	payout, err = bitcoin.NewPayout(k, coins(610+31+294), []bitcoin.Payee{{to, 500}}, 1, 0)
	if err != nil || payout.Fee != 110+31 || payout.Change != 294 {
		t.Errorf("got %+v, %v, want the smallest change", payout, err)
	}
}

// signed is SignedPayout where the coins of a payout are all that are known.
func signed(t *testing.T, payout *bitcoin.Payout, text string) (*wire.MsgTx, error) {
	t.Helper()
	return bitcoin.SignedPayout(keys(t), text, func(out wire.OutPoint) (bitcoin.Coin, bool) {
		i := slices.IndexFunc(payout.Spent, func(c bitcoin.Coin) bool { return c.Out == out })
		if i < 0 {
			return bitcoin.Coin{}, false
		}
		return payout.Spent[i], true
	})
}

func TestSignedPayoutTakesNothingElse(t *testing.T) {
	payout, err := bitcoin.NewPayout(keys(t), coins(5000, 4000), []bitcoin.Payee{{address(t, 0), 6000}}, 2, 0)
	if err != nil {
		t.Fatal(err)
	}
	good := sign(t, payout.PSBT, txscript.SigHashAll)
	if _, err := signed(t, payout, "\n"+good+"\n"); err != nil {
		t.Fatalf("signed as asked: %v", err)
	}
	finalized := parsePSBT(t, good)
	if err := psbt.MaybeFinalizeAll(finalized); err != nil {
		t.Fatal(err)
	}
	if _, err := signed(t, payout, encodePSBT(t, finalized)); err != nil {
		t.Errorf("finalized by the signer: %v", err)
	}

	other, err := bitcoin.NewPayout(keys(t), coins(9000, 8000, 7000)[2:], []bitcoin.Payee{{address(t, 0), 6000}}, 2, 0)
	if err != nil {
		t.Fatal(err)
	}
	half := parsePSBT(t, good)
	half.Inputs[1].PartialSigs = nil
	forged := parsePSBT(t, good)
	forged.Inputs[0].PartialSigs[0].Signature = forged.Inputs[1].PartialSigs[0].Signature
	for _, c := range []struct {
		name   string
		signed string
		want   error
	}{
		{"of other coins", sign(t, other.PSBT, txscript.SigHashAll), bitcoin.ErrOtherPayout},
		{"not signed", payout.PSBT, bitcoin.ErrUnsigned},
		{"half signed", encodePSBT(t, half), bitcoin.ErrUnsigned},
		{"with the signature of another input", encodePSBT(t, forged), bitcoin.ErrUnsigned},
		{"signed for any outputs", sign(t, payout.PSBT, txscript.SigHashNone), bitcoin.ErrUnsigned},
		{"signed for any inputs", sign(t, payout.PSBT, txscript.SigHashAll|txscript.SigHashAnyOneCanPay), bitcoin.ErrUnsigned},
	} {
		if _, err := signed(t, payout, c.signed); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	for _, garbage := range []string{"", "psbt", base64.StdEncoding.EncodeToString([]byte("psbt\xff"))} {
		if _, err := signed(t, payout, garbage); err == nil {
			t.Errorf("%q was taken", garbage)
		}
	}
}
