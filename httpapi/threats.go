/*
# Threats

Who attacks what, what stops them, and the test that shows it. In brackets stands the
chapter of OWASP ASVS 5.0 that asks for it. TestTheThreatModelNamesTestsThatExist
keeps the names true.

A stranger who knows a wallet's address, and addresses are public, wants its account
[V6]:
  - A login takes the wallet's signature of a text made for it, with its origin, chain,
    nonce and time. Forged, replayed, expired, another origin's, malleable and truncated
    proofs have one answer, and nothing is looked up before a proof is good.
    TestASignedLoginIsTheWalletsOwnersAlone, TestForgedEthereumSignaturesAreRefused,
    TestForgedBitcoinSignaturesAreRefused, TestOfManyReplaysAtOnceOneSucceeds.
  - What a wallet signs for another address is of no use here. A page that hands on our
    own text is found out by who reads the address in it, which wallets compare with the
    page's. TestAProofHoldsForItsWalletOriginAndTimeOnly.
  - Nor does the time tell who has an account: of the answer with a nonce, of a refused
    login, of a wrong token (of 32 sessions half a microsecond shows). A login that is proved makes the account where there is none;
    that tells whether there was one, to the wallet's owner alone.
    TestTheTimeOfAnAnswerDoesNotTellWhoExists.
  - In demo mode, and with --auth open, an address is all that it takes. The log says so,
    and in demo mode the page. TestALoginIsSignedWhereverThisIsNoDemo,
    TestDemoModeIsOffBeyondLoopbackUnlessAskedForByName. Data of a real exchange is
    never served in demo mode. TestARealExchangeIsNeverServedAsADemoNorADemoAsReal.

A guesser tries tokens, keys and logins by the million [V6, V7]:
  - Tokens are 256 random bits, kept as hashes and compared in constant time; whatever is
    wrong with one, the answer and its work are the same.
    TestATokenThatIsNotLiveIsRefusedAlikeWhoeverItsUser,
    TestATokenIsCheckedAlikeWhoeverItsUser.
  - Each address has so many requests and few logins. A guesser can't use up the logins
    of who is guessed at. TestGuessesAreLimitedAndLockNobodyOut,
    TestAnAddressThatAsksTooOftenIsToldWhenToComeBack, TestMemoryIsBounded.
  - A forged X-Forwarded-For, also behind a trusted proxy's, is no other address.
    TestOnlyATrustedProxysWordIsTakenForAnAddress, TestAClientDoesNotSpeakAfterTheProxy.

A thief has a session's token [V7]:
  - It ends after 24 hours, after 8 unused, at a logout, and when its owner ends it from
    another session; at once, and also after a restart.
    TestASessionThatGoesUnusedEnds, TestALoggedOutTokenIsDeadAlsoAfterARestart,
    TestAUserSeesTheirSessionsAndEndsOneOrAllOthersForGood.
  - It is never in a URL, a cookie or the log. TestLogLinesAreJSONAndHoldNoSecret,
    TestEveryRouteAnswersEverybodyAsTheTableSays.
  - Where the user has a second factor, the thief can't withdraw, sell, change the e-mail
    address or touch the factors without showing it. The account itself sees to that, so
    nothing comes between check and act. TestAStolenSessionNeitherTakesNorChangesAnything,
    TestWhatIsGuardedTakesAnElevatedSession, TestEveryGuardedRouteIsTried.
  - A factor counts once and for minutes, for one session, whose token is another one
    from then on. A change of the factors ends the user's other sessions.
    TestAFactorCountsOnce, TestEachKindOfFactorStepsUpOnce,
    TestOneCodeSentManyTimesAtOnceElevatesOneSession,
    TestAStepUpGivesTheSessionAnotherToken.
  - Guesses of a code are few an hour, and those of one session leave the owner's alone.
    TestWrongFactorsAreFewAndLockNobodyOut.
  - A passkey signs for this origin and a challenge of this session, once, on its user's
    device. TestWhatIsWrongWithAnAssertionIsRefused.
  - Whoever has the wallet, and the mailbox too, can have the factors removed, but only
    after days in which the user is written to and any factor, a code of the mail or an
    operator stops it. TestALostFactorIsRemovedAfterDaysOfNotice,
    TestWhoeverHasTheMailOrTheFactorStopsARecovery, TestALostFactorIsRemovedThroughKill9.
  - Where there is a mail server, a user with a verified address is written to of logins,
    withdrawals, sales and changes of the factors, and at the address before when it is
    changed; an address is verified by a code of few tries. TestAUserIsWrittenToOfWhatAThiefWouldDo,
    TestAUserIsWrittenToThroughKill9, TestOfManyGuessesAtOnceFewCount,
    TestACodeHoldsForItsAddressItsTimeAndFewTries.
  - Value goes only to addresses of the owner's book, which are a day old, and no more of
    it in a day than the limit. The owner is written to of a new address while it cools
    off. TestAnAddressIsUsedOnceItHasCooledOffAlsoAfterARestart,
    TestAUserIsWrittenToWhileANewAddressCoolsOff, TestADailyLimitSaysWhatIsLeftAndWhenMoreIsFree,
    TestADailyLimitHoldsForManyWithdrawalsAtOnce.

A user reaches for what is another's [V8]:
  - Whose something is is compared with the session's user, and what is another's is
    refused like what is nobody's. TestAnotherUsersResourceIsRefusedLikeOneThatDoesNotExist,
    TestEveryRouteAnswersEverybodyAsTheTableSays, TestAStreamIsItsOwnersOnly.
  - A suspended user may read, and changes nothing.
    TestASuspendedUserReadsAndChangesNothing.
  - A user can't spend what is not there, by racing, retrying or rounding [V2].
    TestConcurrentWithdrawalsOfTheWholeBalanceHaveOneSuccess,
    TestOneKeyUsedAtOnceMovesValueOnce, TestAnAmountIsAnExactNumberAboveZero.

An operator does more than they are there for, or loses a key [V8]:
  - A key has a role, and every route of operators its least one; what a key does is in
    the account's events with its name. TestEveryRouteAnswersEverybodyAsTheTableSays,
    TestALineOfTheKeyFileGivesARoleOrMakesAnAdmin,
    TestEveryOperatorActionIsAnEventWithWhoAndWhy.
  - A large withdrawal takes two keys, whatever comes at once.
    TestALargeWithdrawalTakesTwoOperators, TestTwoOperatorsAtOnceAreStillTwo.
  - What a key does is in a chain of entries before it is done, or is not done; whoever
    changes an entry, takes one out or cuts off the end is found out by verify, the last
    by a head that was noted elsewhere. So are changes of an account's factors, address
    book, e-mail address and sessions. TestTamperingWithTheAuditLogIsFound,
    TestAnActionThatCannotBeAuditedIsA503AndNotDone, TestWithoutAnEntryNothingIsDone,
    TestEveryEventAndCommandOfOperatorsIsAnAct, TestKilledAmongActsEachHasItsEntry.
  - Keys are in a file or a variable, never in an argument, and kept as hashes.
  - The service holds no key of the bitcoins: a payout is a transaction for the
    operator's own signer, and comes back paying what was exported or not at all. A sale
    is paid once, whatever is killed, raced, cancelled, signed late, replaced, sent by
    somebody else or restored; a refund is settled once.
    TestASaleIsPaidOnceHoweverOftenTheServiceIsKilled,
    TestACancelledPayoutCannotBePaidBesideTheNextOne,
    TestAPayoutWhoseFeeTheSignerRaisedIsPaidOnce,
    TestNobodyEndsASaleThatACancelledPayoutMayStillPay,
    TestARestoredLogDoesNotPayAgainWhatWasPaidSince,
    TestWhatWasPaidTooMuchIsSentBackByTheOperatorOnce.
  - What an operator says was paid can be held against the chain.
    TestReconcileFindsEveryKindOfDifferenceAndNoOther,
    TestReconcileFindsSalesThatAreSettledTwice.

A page of another origin uses a user's browser [V3]:
  - There are no cookies, so nothing goes along by itself, and no answer allows another
    origin. Pages load nothing from elsewhere and stand in no frame.
    TestEveryRouteAnswersEverybodyAsTheTableSays,
    TestAPageHasAPolicyThatLetsNothingInFromElsewhere,
    TestThePagesHaveNothingInlineAndReferToFilesThatExist.

Somebody on the way reads or changes what is sent [V12]:
  - TLS 1.2 or 1.3 with forward secrecy, here or at a proxy.
    TestOldVersionsOfTLSAreRefused, TestTheServiceIsTheSameThroughTLS,
    TestSIGHUPTakesANewCertificate.

A client sends what two programs read in two ways, or what breaks one [V1, V4]:
  - A request that a proxy may have read otherwise is refused, and its connection closed.
    TestARequestHasOneReadingOrNone.
  - What the event loops answer is what fasthttp's server would have answered, and a
    client that never stops sending holds none of them.
    TestTheLoopsAnswerAsFasthttpDoes, TestARequestThatWaitsForAStuckLogHoldsUpNoEventLoop.
  - Bodies, headers, paths and JSON have limits and one form.
    TestABodyOver64KiBIsTooLarge, TestAHeaderOver8KiBIsTooLarge,
    TestAPathIsTakenAsItCame, TestNestedOrBrokenTextIsRefusedUnread,
    TestABodyIsOneKnownObjectAndNothingElse.
  - Nothing of a request becomes a header, of mail too, a line of the log or a formula.
    TestNothingOfARequestBecomesAHeaderOrALineOfTheLog, TestNoCellIsTakenForAFormula,
    TestAValueCantBecomeAHeaderOrAnotherRecipient.

A flood, or clients that hold on to what they have [V4]:
  - Connections, streams, queues and phases of a connection are bounded; slow and idle
    clients hold up nobody. TestThousandsOfIdleAndSlowConnectionsHoldNobodyUp,
    TestASlowClientIsEndedAndHoldsNobodyUp, TestASlowClientIsEndedThroughTLSToo,
    TestConnectionsBeyondTheLimitAreRefused, TestAFullQueueIsA503ThatChangesNothing.
  - A flood that fills the line has to be met before it gets here.

Somebody tells the operator's systems what never happened, or answers in their name
[V4, V11]:
  - A notice is signed with a secret, together with its time, and goes to the one address
    that was configured, over TLS beyond this machine; a redirect is not followed.
    TestVerify, TestADeliveryArrivesSignedWithEverySecret, TestOnlySuccessIsAnAnswer,
    TestWhereNothingMayBeSentIsRefused.
  - A receiver that is slow, wrong or without end has its place and no more, and what it
    has lost is sent again. TestOfAHugeAnswerLittleIsRead,
    TestABadReceiverLosesNothingAndHoldsUpNobody, TestEveryActHasItsNoticeThroughKill9,
    TestBeyondTheBoundNoticesAreLostAndCounted.

Another service, or who steals from it, uses what a user showed it [V9]:
  - An access token is for one service and a few minutes, and opens nothing here.
    TestAnotherServiceKnowsAUserByAnAccessToken, TestForgedTokensAreRefused,
    TestATokenIsValidForItsAudienceAndTime.

# What is open

  - Until a user has a second factor, who has a session or the wallet's key can enrol one
    of their own. There is none for operators.
  - A session that is elevated is its thief's for the minutes that are left.
  - Three codes of a million are good at a time. Who has the wallet's key may try 30 an
    hour, and is right within a day one time of 460; with a stolen session alone, 1,400.
  - The daily limit and the four eyes are off until an amount is set. One admin's key
    credits and debits any account.
  - Who can write to the log's files can make history. The checks of verify find damage
    and what operators did without an entry, not a forger of the users' own events; and of
    one who computes the whole audit chain anew only a head that was noted elsewhere tells.
  - A user's changes of security are kept in the audit log for good: --account-rate bounds
    how fast one fills the disk.
  - A user who takes a name learns whether another has it. An e-mail address is made of the
    wallet's until it is changed, so that tells whether a wallet has an account, as often
    as the limits let one user ask.
  - Who gave no e-mail address, or did not verify it, is told of nothing.
  - Wallets that are programs on a chain (EIP-1271) can't log in.
  - A restart forgets the limits' counts, and the nonces that were given out.
  - Of the data directory only the secrets of authenticator apps are encrypted, with a key
    that lies in it unless it is put elsewhere. It holds no token, but who has what.
*/
package httpapi
